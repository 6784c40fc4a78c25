"""Gaussians of the features of good images, one per place (Defard et al. 2021, PaDiM).

Each place has a mean of its own. A block of neighboring places has one covariance, shrunk toward that of all places:
the fewer the images, the more (a weight of PRIOR_IMAGES images, as with an inverse-Wishart prior).
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from ssim_ae.machine import parallel_map

MAX_BLOCKS = 1100  # covariances: 23 kB each in a detector file, 46 kB in one of moments, 185 kB while they are fitted
PRIOR_IMAGES = 12  # the weight of the covariance of all places
RIDGE = 0.1  # added to the variance of every channel, of which the variance over images and places is 1
MIN_DEVIATION = 1e-6  # of a channel
CHUNK = 64  # blocks that a thread inverts at once


class Gaussians(NamedTuple):
    """The Gaussians of the features (d, h, w) of an image.

    Attributes:
        scale: (d, 1, 1) float32, which features are multiplied with.
        mean: (d, h, w) float32, of the scaled features.
        factor: (blocks, d (d + 1) / 2) float16, the lower triangle, row by row, of the inverse of the Cholesky factor
            of each block's covariance. The product with the difference from the mean has the length of the
            Mahalanobis distance.
    """

    scale: np.ndarray
    mean: np.ndarray
    factor: np.ndarray


class BlockGrid(NamedTuple):
    """The blocks of features of a height and width in places: the places along a side of one, and their numbers."""

    side: int
    rows: int
    columns: int


def block_grid(height: int, width: int) -> BlockGrid:
    """Return the smallest blocks of which there are at most MAX_BLOCKS; those at the end of a side may not be full."""
    side = block_side(height, width)
    return BlockGrid(side, -(-height // side), -(-width // side))


def block_side(height: int, width: int) -> int:
    """Return the places along each side of a block, for features of `height` x `width` places."""
    side = 1
    while -(-height // side) * -(-width // side) > MAX_BLOCKS:
        side += 1
    return side


class Moments:
    """Count, means and covariances of the features of good images. They can be added to at any time.

    Updates are those of Chan et al. 1979, which are stable: equal to the moments of all images at once.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        channels, self.height, self.width = shape
        self.side, self.rows, self.columns = block_grid(self.height, self.width)
        places = self._in_blocks(np.ones((1, 1, self.height, self.width), np.float32)).sum(axis=(1, 2, 3))
        self.places = places[:, None, None]  # of each block; fewer at the end of a side
        self.count = 0
        self.mean = np.zeros((len(places), channels, self.side**2))
        self.scatter = np.zeros((len(places), channels, channels))  # sum of products of differences from the mean

    def add(self, features: np.ndarray) -> None:
        """Add the features (N, d, h, w) float32 of images."""
        count, total = len(features), self.count + len(features)
        mean, scatter = self._mean_and_scatter(features)
        difference = mean - self.mean
        self.scatter += scatter
        self.scatter += (difference * (self.count * count / total)) @ difference.transpose(0, 2, 1)
        self.mean += difference * (count / total)
        self.count = total

    def remove(self, features: np.ndarray) -> None:
        """Remove the features (N, d, h, w) float32 of images that were added; at least one other image remains."""
        count, left = len(features), self.count - len(features)
        mean, scatter = self._mean_and_scatter(features)
        others = self.mean + (self.mean - mean) * (count / left)
        difference = mean - others
        self.scatter -= scatter
        self.scatter -= (difference * (left * count / self.count)) @ difference.transpose(0, 2, 1)
        self.mean, self.count = others, left

    def copy(self) -> Moments:
        """Return moments that can be changed by themselves."""
        copied = Moments((self.mean.shape[1], self.height, self.width))
        copied.count, copied.mean, copied.scatter = self.count, self.mean.copy(), self.scatter.copy()
        return copied

    def gaussians(self) -> Gaussians:
        """Return the Gaussians of the features so far; at least those of one image."""
        mean = self._in_places(self.mean)
        common = self.scatter.sum(axis=0) / (self.height * self.width * self._degrees)
        variance = np.maximum(common.diagonal() + mean.var(axis=(1, 2)), MIN_DEVIATION**2)
        scale = 1 / np.sqrt(variance)
        common *= np.outer(scale, scale)
        starts = range(0, len(self.scatter), CHUNK)
        factors = parallel_map(lambda start: self._factors(slice(start, start + CHUNK), scale, common), starts)
        factor = np.concatenate(list(factors))
        scale = scale[:, None, None]
        return Gaussians(scale.astype(np.float32), (mean * scale).astype(np.float32), factor)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the moments as arrays, for a file: of the scatter, the lower triangles in float32."""
        rows, columns = np.tril_indices(self.mean.shape[1])
        scatter = self.scatter[:, rows, columns].astype(np.float32)
        return {"count": np.array(self.count), "mean": self.mean, "scatter": scatter}

    @classmethod
    def from_arrays(cls, shape: tuple[int, int, int], arrays: dict[str, np.ndarray]) -> Self:
        """Return the moments that `arrays` has returned, of features of `shape`. Raises ValueError for others."""
        moments = cls(shape)
        rows, columns = np.tril_indices(shape[0])
        expected = {name: (array.shape, array.dtype) for name, array in moments.arrays().items()}
        if {name: (array.shape, array.dtype) for name, array in arrays.items()} != expected or not (
            arrays["count"] >= 0
            and all(np.isfinite(array).all() for array in arrays.values())
            and (arrays["scatter"][:, rows == columns] >= 0).all()
        ):
            raise ValueError(f"not the moments of features of shape {shape}")
        moments.count = int(arrays["count"])
        moments.mean = arrays["mean"].copy()
        moments.scatter[:, rows, columns] = moments.scatter[:, columns, rows] = arrays["scatter"]
        return moments

    @property
    def _degrees(self) -> int:
        """Degrees of freedom of a covariance, for each of its places."""
        return max(1, self.count - 1)

    def _mean_and_scatter(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and scatter of features (N, d, h, w) by themselves, in the shapes of `mean` and `scatter`."""
        values = self._in_blocks(features.astype(np.float64))
        mean = values.mean(axis=-1)
        centered = (values - mean[..., None]).reshape(*values.shape[:2], -1)
        return mean, centered @ centered.transpose(0, 2, 1)

    def _factors(self, part: slice, scale: np.ndarray, common: np.ndarray) -> np.ndarray:
        share = PRIOR_IMAGES / (max(self.count - 1, 0) + PRIOR_IMAGES)
        own = self.scatter[part] / (self.places[part] * self._degrees) * np.outer(scale, scale)
        covariance = (1 - share) * own + share * common + RIDGE * np.eye(len(scale))
        inverse = np.linalg.inv(np.linalg.cholesky(covariance))
        rows, columns = np.tril_indices(len(scale))
        return inverse[:, rows, columns].astype(np.float16)

    def _in_blocks(self, features: np.ndarray) -> np.ndarray:
        """(N, d, h, w) -> (blocks, d, places of a block, N), with zeros where a block is not full."""
        count, channels, side = len(features), len(features[0]), self.side
        missing = (self.rows * side - self.height, self.columns * side - self.width)
        padded = np.pad(features, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])))
        split = padded.reshape(count, channels, self.rows, side, self.columns, side)
        ordered = split.transpose(2, 4, 1, 3, 5, 0)
        return np.ascontiguousarray(ordered).reshape(-1, channels, side * side, count)

    def _in_places(self, values: np.ndarray) -> np.ndarray:
        """(blocks, d, places of a block) -> (d, h, w)."""
        channels, side = values.shape[1], self.side
        split = values.reshape(self.rows, self.columns, channels, side, side)
        padded = split.transpose(2, 0, 3, 1, 4).reshape(channels, self.rows * side, self.columns * side)
        return padded[:, : self.height, : self.width]
