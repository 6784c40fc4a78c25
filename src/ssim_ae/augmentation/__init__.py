"""Training patches: cut, rotated, flipped, lit and corrupted."""
