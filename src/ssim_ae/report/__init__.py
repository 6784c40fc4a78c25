"""The report of a detector: metrics, curves and test images on one HTML page, at any threshold."""
