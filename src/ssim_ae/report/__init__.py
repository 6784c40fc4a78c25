"""The report of a detector: metrics, curves and all test images on one HTML page, at any threshold."""
