"""Training patches: cutting, rotation, flips, illumination and corruption."""
