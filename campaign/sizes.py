"""Images, each of a size of its own."""

from io import BytesIO

import numpy as np
from PIL import Image

SIDES = range(16, 16 + 317)  # px, of most images; all pairs of them are more than 100,000 sizes
STEP = 7919  # a prime number: successive images have unlike sizes
LONG_EVERY = 1000  # images, one of which has a side of almost MAX_SIDE px
LARGE_EVERY = 10_000  # images, one of which has almost the maximum number of pixels


def image_of_own_size(number: int, *, max_side: int, max_pixels: int) -> bytes:
    """Return a gray PNG file whose height and width differ from those of every other number up to 100,000.

    Most images have sides of `SIDES`, in all aspect ratios. The others are as long or as large as the limits allow.
    """
    height, width = image_size(number, max_side=max_side, max_pixels=max_pixels)
    rows, columns = np.arange(height) // 5, np.arange(width) // 7
    buffer = BytesIO()
    pixels = np.add.outer(rows.astype(np.uint8), columns.astype(np.uint8))
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def image_size(number: int, *, max_side: int, max_pixels: int) -> tuple[int, int]:
    """Return the height and width of an image by its number."""
    if number % LARGE_EVERY == 0:
        side = int(max_pixels**0.5) - number // LARGE_EVERY
        return side, side
    if number % LONG_EVERY == 0:
        long, short = max_side - number // LONG_EVERY, 1 + number // LONG_EVERY
        return (long, short) if number // LONG_EVERY % 2 else (short, long)
    row, column = divmod(number * STEP % len(SIDES) ** 2, len(SIDES))
    return SIDES[row], SIDES[column]
