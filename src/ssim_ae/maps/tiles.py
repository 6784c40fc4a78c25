"""Cut an image into overlapping tiles and average tiles back into an image."""

from collections.abc import Iterator

import numpy as np

from ssim_ae.images.size import Size


def tile_starts(length: int, tile: int, stride: int) -> list[int]:
    """Return the first positions of the tiles along a side of `length` px: every `stride` px, and one at the end."""
    return sorted({*range(0, length - tile + 1, stride), length - tile})


def cut_tiles(image: np.ndarray, tile: Size, stride: int) -> np.ndarray:
    """Cut an image (C, H, W) into tiles (N, C, tile height, tile width), row by row."""
    return np.stack([image[:, rows, columns] for rows, columns in _windows(Size(*image.shape[1:]), tile, stride)])


def stitch_tiles(tiles: np.ndarray, size: Size, stride: int) -> np.ndarray:
    """Stitch the tiles of `cut_tiles` to an image of `size`, (C, H, W). Overlaps are averaged."""
    total = np.zeros((tiles.shape[1], *size), np.float32)
    count = np.zeros(size, np.float32)
    for (rows, columns), tile in zip(_windows(size, Size(*tiles.shape[2:]), stride), tiles, strict=True):
        total[:, rows, columns] += tile
        count[rows, columns] += 1
    return total / count


def _windows(size: Size, tile: Size, stride: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and the columns of each tile, row by row."""
    for y in tile_starts(size.height, tile.height, stride):
        for x in tile_starts(size.width, tile.width, stride):
            yield slice(y, y + tile.height), slice(x, x + tile.width)
