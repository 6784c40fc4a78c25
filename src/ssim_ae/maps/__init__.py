"""Residual maps of an image and its reconstruction, and what is computed from them: regions, tiles, levels."""
