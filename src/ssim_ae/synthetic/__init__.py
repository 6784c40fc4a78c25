"""The built-in data set: synthetic images of two woven fabrics and an embroidered badge."""
