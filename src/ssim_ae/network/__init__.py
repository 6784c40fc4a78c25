"""The network, defined by a table of layers and built in each framework, and the structural similarity (SSIM)."""
