"""Good images in, weights out: patches, engine, loop and checkpoints."""
