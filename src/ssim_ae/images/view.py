"""The view of an image: resized to the working size and cropped, and the mapping of results back to the image.

A pixel of the image maps to the view's pixel that covers its center. Pixels outside the crop map to no pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from ssim_ae.images.colors import white_of
from ssim_ae.images.resize import resize
from ssim_ae.images.size import Size

if TYPE_CHECKING:
    from ssim_ae.config import Config


class View(NamedTuple):
    """The central part of `size` of an image that is resized to `working_size`."""

    working_size: Size
    size: Size  # at most `working_size`
    bit_depth: int  # of 16-bit images: 2^bit_depth - 1 is white

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Return the view that a detector with this configuration inspects."""
        return cls(config.working_size, config.view_size, config.bit_depth)

    @property
    def margin(self) -> Size:
        """Number of pixels that are cropped at the top (height) and at the left (width) after resizing."""
        return Size(*((resized - side) // 2 for resized, side in zip(self.working_size, self.size, strict=True)))

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Resize (H, W, C) uint8, or uint16 of `bit_depth` bits, to `working_size`: (C, H, W) float32 in [0, 1]."""
        white = white_of(image.dtype, self.bit_depth)
        resized = resize(np.moveaxis(image, 2, 0), *self.working_size)
        resized *= np.float32(1 / white)
        return np.clip(resized, 0, 1, out=resized)

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Resize (H, W, C) uint8 or uint16 and crop it to `size`, the inspected part: (C, H, W) float32 in [0, 1]."""
        return np.ascontiguousarray(self._center(self.resize(image)))

    def crop_mask(self, mask: np.ndarray) -> np.ndarray:
        """Resize and crop a mask (H, W) bool to `size`. A pixel is set if at least half of it is covered."""
        return self._center(resize(mask, *self.working_size)) >= 0.5

    def to_image_size(self, values: np.ndarray, height: int, width: int) -> np.ndarray:
        """Map values of `size` to the pixels of the image, (height, width). Pixels outside the crop are 0."""
        rows, columns = (self._padded_positions(length, axis) for axis, length in enumerate((height, width)))
        padded = np.pad(values, 1)  # pixels outside the crop take the zeros of the padding
        return padded[rows[:, None], columns]

    def image_share(self, mask: np.ndarray, height: int, width: int) -> float:
        """Return the share of the image's height x width pixels that a mask (H, W) bool of `size` covers.

        It is the mean of `to_image_size(mask, height, width)`, computed without the large array.
        """
        row_counts, column_counts = (
            np.bincount(self._padded_positions(length, axis), minlength=self.size[axis] + 2)
            for axis, length in enumerate((height, width))
        )
        return float(row_counts @ np.pad(mask, 1).astype(int) @ column_counts) / (height * width)

    def to_image_box(
        self, top: int, bottom: int, left: int, right: int, height: int, width: int
    ) -> tuple[int, int, int, int]:
        """Map a box of the view to the box (x, y, width, height) in an image of height x width pixels.

        Rows `top` to `bottom` and columns `left` to `right` are in the view's pixels, the last included.
        """
        y, box_height = self._to_image_span(top, bottom, height, axis=0)
        x, box_width = self._to_image_span(left, right, width, axis=1)
        return x, y, box_width, box_height

    def _to_image_span(self, first: int, last: int, length: int, axis: int) -> tuple[int, int]:
        """Return start and length, at least 1, of the image's pixels that map to the view's pixels `first` to `last`.

        Pixels of an image that is smaller than the view do not reach every pixel of the view, hence the minimum.
        """
        positions = self._padded_positions(length, axis)
        start = min(int(np.searchsorted(positions, first + 1)), length - 1)
        return start, max(1, int(np.searchsorted(positions, last + 1, side="right")) - start)

    def _padded_positions(self, length: int, axis: int) -> np.ndarray:
        """Return the position (length,) in the view, padded by 1, that each pixel of a side of the image maps to.

        Position 0 is before the crop, 1 is its first pixel, that of the side's length plus 1 is after it.
        """
        position = (2 * np.arange(length) + 1) * self.working_size[axis] // (2 * length) - self.margin[axis]
        return np.clip(position, -1, self.size[axis]) + 1

    def _center(self, values: np.ndarray) -> np.ndarray:
        rows, columns = (slice(start, start + side) for start, side in zip(self.margin, self.size, strict=True))
        return values[..., rows, columns]
