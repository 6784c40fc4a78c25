"""Export of detectors to files for other programs, and the comparison of these files with the detector."""
