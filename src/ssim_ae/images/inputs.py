"""The pixels of whatever a caller gives as an image: a path, a Pillow image or an array."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from ssim_ae.errors import InputError
from ssim_ae.images.colors import with_channels
from ssim_ae.images.files import pillow_pixels, read_image

ImageInput = np.ndarray | Image.Image | str | os.PathLike[str]
NAME = "image"  # of an image without a path, in messages
ARRAY_SHAPES = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8 or uint16"
CHANNEL_COUNTS = (1, 3, 4)


def pixels_of(image: object, *, grayscale: bool) -> np.ndarray:
    """Return the pixels (H, W, C) uint8 or uint16 of an `ImageInput`. C is 1 with `grayscale`, else 3 in RGB order.

    Arrays are (H, W) gray, or (H, W, C) with C = 1, 3 (RGB) or 4 (RGBA; alpha is dropped). A Pillow image is treated
    as its file would be, at the depth that Pillow holds it in.

    Raises:
        InputError: The image cannot be read, or has another type or shape.
    """
    if isinstance(image, Image.Image):
        return pillow_pixels(image, NAME, grayscale=grayscale)
    if isinstance(image, np.ndarray):
        return _array_pixels(image, grayscale=grayscale)
    if isinstance(image, str | os.PathLike):
        return read_image(Path(os.fsdecode(image)), grayscale=grayscale)
    message = f"{NAME}: should be a path, a Pillow image or an array {ARRAY_SHAPES}, not {type(image).__name__}"
    if isinstance(image, bytes | bytearray | memoryview) or hasattr(image, "read"):
        message += "; open the content of a file with PIL.Image.open"
    elif hasattr(image, "__array__"):
        message += "; convert it with numpy.asarray"
    raise InputError(message)


def _array_pixels(image: np.ndarray, *, grayscale: bool) -> np.ndarray:
    array = np.asarray(image)[:, :, None] if image.ndim == 2 else np.asarray(image)
    is_valid_dtype = array.dtype.kind == "u" and array.dtype.itemsize in (1, 2)
    if array.ndim != 3 or array.shape[2] not in CHANNEL_COUNTS or not is_valid_dtype:
        message = f"{NAME}: should be {ARRAY_SHAPES}, not {image.shape} of {image.dtype}"
        if array.ndim == 3 and array.shape[2] not in CHANNEL_COUNTS and array.shape[0] in CHANNEL_COUNTS:
            message += "; move the channels to the end with numpy.moveaxis(image, 0, 2)"
        elif not is_valid_dtype and array.dtype.kind in "biuf":  # numbers
            message += "; scale its values to 0 ... 255 and convert it with astype(numpy.uint8)"
        raise InputError(message)
    if not array.size:
        raise InputError(f"{NAME}: has no pixels, its shape is {image.shape}")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return with_channels(native[:, :, :3], grayscale=grayscale)
