"""ONNX operators for the array functions of `maps`, from which the exported graph is built."""
