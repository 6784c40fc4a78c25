"""How an image becomes what the network sees, and how a map of it goes back."""

from typing import NamedTuple, Self

import numpy as np

from ssim_ae.config import Config
from ssim_ae.images.resize import resize


class View(NamedTuple):
    """The image resized to `im_resize`, of which the centred `size` x `size` px are inspected."""

    im_resize: int
    size: int
    bit_depth: int

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return the view that a detector of this config has of an image."""
        return cls(config.im_resize, config.mask_size, config.bit_depth)

    @property
    def margin(self) -> int:
        """Px cut off at the left and top after resizing."""
        return (self.im_resize - self.size) // 2

    def whole(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C) uint8, or uint16 of `bit_depth` bits -> (C, im_resize, im_resize) float32 in [0, 1]."""
        white = 255 if image.dtype == np.uint8 else 2**self.bit_depth - 1
        resized = resize(np.moveaxis(image, 2, 0), self.im_resize, self.im_resize)
        resized *= np.float32(1 / white)
        return np.clip(resized, 0, 1, out=resized)

    def centre(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C) uint8 or uint16 -> (C, size, size) float32 in [0, 1]: what is inspected."""
        return np.ascontiguousarray(self._cropped(self.whole(image)))

    def truth(self, mask: np.ndarray) -> np.ndarray:
        """(H, W) bool ground truth -> (size, size) bool: defective where at least half of the px is."""
        return self._cropped(resize(mask, self.im_resize, self.im_resize)) >= 0.5

    def back(self, values: np.ndarray, height: int, width: int) -> np.ndarray:
        """(size, size) -> (height, width): every px of the image gets the value of the px that covers it; cut-off 0."""
        rows, columns = self._covering(height), self._covering(width)
        padded = np.pad(values, 1)  # what was cut off looks up the zeros around
        return padded[rows[:, None], columns]

    def share(self, mask: np.ndarray, height: int, width: int) -> float:
        """(size, size) bool -> the share of the (height, width) px that it covers, as `back` would lay it over them."""
        rows, columns = (np.bincount(self._covering(side), minlength=self.size + 2) for side in (height, width))
        return float(rows @ np.pad(mask, 1).astype(int) @ columns) / (height * width)

    def box(self, top: int, bottom: int, left: int, right: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Return (x, y, width, height) in a (height, width) image of inspected rows and columns, the last included."""
        y, rows = self._stretch(top, bottom, height)
        x, columns = self._stretch(left, right, width)
        return x, y, columns, rows

    def _stretch(self, first: int, last: int, length: int) -> tuple[int, int]:
        """Return start and length of the px that the inspected px `first` to `last` cover; at least one."""
        covering = self._covering(length)
        start = min(int(np.searchsorted(covering, first + 1)), length - 1)
        return start, max(1, int(np.searchsorted(covering, last + 1, side="right")) - start)

    def _covering(self, length: int) -> np.ndarray:
        position = (2 * np.arange(length) + 1) * self.im_resize // (2 * length) - self.margin
        return np.clip(position, -1, self.size) + 1

    def _cropped(self, values: np.ndarray) -> np.ndarray:
        window = slice(self.margin, self.margin + self.size)
        return values[..., window, window]
