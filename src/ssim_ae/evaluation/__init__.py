"""Evaluation on test images: metrics with confidence intervals, tables, and the images of a report."""
