"""Thresholds estimated from good images alone."""
