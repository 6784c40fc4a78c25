"""From an image and its reconstruction to a score, a verdict and a mask."""
