"""The list of runs with their figures, and the comparison of two."""
