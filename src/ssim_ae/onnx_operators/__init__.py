"""ONNX operators for the array functions of `alignment`, `images`, `maps` and `network`, for the exported graph."""
