"""Cut an image into overlapping tiles, and average them back together."""

import numpy as np


def starts(size: int, tile: int, stride: int) -> list[int]:
    """Return where tiles of `tile` px begin along `size` px: every `stride`, and one flush with the end."""
    return sorted({*range(0, size - tile + 1, stride), size - tile})


def cut_tiles(image: np.ndarray, tile: int, stride: int) -> np.ndarray:
    """(C, S, S) -> (N, C, tile, tile), row by row."""
    corners = starts(image.shape[-1], tile, stride)
    return np.stack([image[:, y : y + tile, x : x + tile] for y in corners for x in corners])


def stitch_tiles(tiles: np.ndarray, size: int, stride: int) -> np.ndarray:
    """(N, C, tile, tile) from `cut_tiles` -> (C, size, size), the mean where tiles overlap."""
    tile = tiles.shape[-1]
    corners = starts(size, tile, stride)
    total = np.zeros((tiles.shape[1], size, size), np.float32)
    count = np.zeros((size, size), np.float32)
    positions = [(y, x) for y in corners for x in corners]
    for (y, x), part in zip(positions, tiles, strict=True):
        total[:, y : y + tile, x : x + tile] += part
        count[y : y + tile, x : x + tile] += 1
    return total / count
