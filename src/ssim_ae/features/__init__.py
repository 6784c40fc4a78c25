"""Features of a frozen network, their Gaussians on good images, and the distances of new images from these."""
