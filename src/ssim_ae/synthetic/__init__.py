"""The built-in data sets: synthetic images of fabrics, of a wide connector, of a large plate, and of random fibers."""
