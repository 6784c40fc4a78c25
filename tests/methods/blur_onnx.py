"""The maps of the toy method in ONNX operators."""


def residual_maps(add, image, reconstruction, size):
    difference = add("Abs", add("Sub", image, reconstruction))
    return add("ReduceMax", difference, [0], keepdims=0), add("ReduceMean", difference, [0], keepdims=0)


def combine(add, ssim, l1):
    return add("Max", ssim, l1)


def postprocess(add, anomaly, size):
    return anomaly
