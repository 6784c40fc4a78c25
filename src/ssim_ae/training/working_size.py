"""The choice of the working size, from the sizes of the good images."""

from collections.abc import Callable, Sequence
from math import ceil, sqrt
from statistics import median_low

from ssim_ae.config import Config
from ssim_ae.config.settings import MAX_SIDE
from ssim_ae.errors import InputError
from ssim_ae.images.size import Size
from ssim_ae.methods import method_of

TEXTURE_RESOLUTION = 512  # px: a texture is learned from patches, which show it at any resolution
MIN_DEFECT_PIXELS = 8  # of a resized image, along the smallest defect
ROUNDING_DIGITS = 6  # of a quotient that is rounded up: its own rounding error does not count


def with_working_size(config: Config, images: Sequence[Size]) -> Config:
    """Return the settings with `im_resize` chosen for good images of these sizes; without any, a square.

    Raises InputError if the other settings do not support that size.
    """
    size = choose_working_size(config, images or [Size.of(config.resolution)])
    try:
        return config.replace(im_resize=size)
    except InputError as error:
        reason = str(error).removeprefix("config: ")
        key, change = ("smallest_defect", "raise") if config.smallest_defect else ("resolution", "lower")
        given = getattr(config, key) if config.smallest_defect else _resolution(config, size.height * size.width)
        raise InputError(
            f"{key} {given:g}: the images would be resized to {size}, but {reason}; {change} {key}, or set im_resize"
        ) from error


def choose_working_size(config: Config, images: Sequence[Size]) -> Size:
    """Return the size to resize images of these sizes to: of their median aspect ratio and median number of pixels.

    Both sides fit the method, which may enlarge the images, or change their aspect ratio by a few percent.
    """
    aspect = median_low(size.width / size.height for size in images)
    ratio = max(aspect, 1 / aspect)
    pixels = median_low(size.width * size.height for size in images)
    if config.smallest_defect:
        side = sqrt(pixels) * min(1.0, MIN_DEFECT_PIXELS / config.smallest_defect)
    else:
        side = _resolution(config, pixels)
    rounded: Callable[[float], int] = ceil if config.smallest_defect else round
    short = _fitting_side(side / sqrt(ratio), config, rounded)
    long = _fitting_side(short * ratio, config, rounded)
    return Size(long, short) if aspect < 1 else Size(short, long)


def _resolution(config: Config, pixels: int) -> float:
    """Return the side of a square with as many pixels as the resized images; textures keep theirs, up to a limit."""
    if config.texture and "resolution" not in config.model_fields_set:
        return min(TEXTURE_RESOLUTION, sqrt(pixels))
    return config.resolution


def _fitting_side(side: float, config: Config, rounded: Callable[[float], int]) -> int:
    """Return the length that the method can inspect from end to end, and that `side` px are rounded to."""
    method = method_of(config)
    multiple = method.size_multiple(config)
    smallest = -(-method.smallest_side(config) // multiple) * multiple
    fitting = min(max(smallest, rounded(round(side / multiple, ROUNDING_DIGITS)) * multiple), MAX_SIDE)
    if method.inspects_whole_image or config.inspected_side(fitting) == fitting:
        return fitting
    return config.crop_size + rounded((fitting - config.crop_size) / config.stride) * config.stride
