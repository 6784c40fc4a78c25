"""The built-in data sets: synthetic images of fabrics, of a wide connector, and of a large plate."""
