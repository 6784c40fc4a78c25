"""Building blocks of the exported graph: the array functions of `maps` as ONNX operators."""
