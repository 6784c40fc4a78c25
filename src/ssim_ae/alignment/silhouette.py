"""Where aligned parts lie in the strip: what is inspected. Specks on the background around a part are no defects."""

from typing import Self

import numpy as np

from ssim_ae.alignment.pose import Part, Pose
from ssim_ae.alignment.strip import Strip, aligned
from ssim_ae.images.size import Size

MIN_SHARE = 0.05  # of the good images in which a place has to belong to the part


class Silhouettes:
    """Counts the good images whose part covers each place of a strip of `size` places."""

    def __init__(self, strip: Strip, size: Size) -> None:
        self.strip = strip
        self.images = 0
        self.counts = np.zeros(size, int)

    def add(self, part: Part, pose: Pose) -> None:
        """Add the part of an image and its pose."""
        in_mask = pose._replace(y=pose.y / np.float32(part.block), x=pose.x / np.float32(part.block))
        covered = aligned(np.uint8(255) * part.mask[..., None], in_mask, self.strip, *self.counts.shape)[0]
        self.counts += covered > 0
        self.images += 1

    def inspected(self) -> np.ndarray:
        """Return the places that belong to the part, and those beside them: (h, w) bool."""
        part = np.pad(self.counts > MIN_SHARE * self.images, 1)
        height, width = self.counts.shape
        beside = [part[y : y + height, x : x + width] for y in range(3) for x in range(3)]
        return np.logical_or.reduce(beside)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the counts as arrays, for a file."""
        return {"images": np.array(self.images), "counts": self.counts}

    @classmethod
    def from_arrays(cls, strip: Strip, size: Size, arrays: dict[str, np.ndarray]) -> Self:
        """Return the silhouettes that `arrays` has returned, of `size` places. Raises ValueError for others."""
        silhouettes = cls(strip, size)
        expected = {name: (array.shape, array.dtype) for name, array in silhouettes.arrays().items()}
        if {name: (array.shape, array.dtype) for name, array in arrays.items()} != expected or not (
            0 <= arrays["counts"].min() <= arrays["counts"].max() <= arrays["images"]
        ):
            raise ValueError(f"not the silhouettes of {size} places")
        silhouettes.images, silhouettes.counts = int(arrays["images"]), arrays["counts"].copy()
        return silhouettes
