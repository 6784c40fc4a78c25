"""Cut an image into overlapping tiles and average tiles back into an image."""

import numpy as np


def tile_starts(size: int, tile: int, stride: int) -> list[int]:
    """Return the first positions of the tiles along a side of `size` px: every `stride` px, and one tile at the end."""
    return sorted({*range(0, size - tile + 1, stride), size - tile})


def cut_tiles(image: np.ndarray, tile: int, stride: int) -> np.ndarray:
    """Cut an image (C, S, S) into tiles (N, C, tile, tile), row by row."""
    starts = tile_starts(image.shape[-1], tile, stride)
    return np.stack([image[:, y : y + tile, x : x + tile] for y in starts for x in starts])


def stitch_tiles(tiles: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Stitch the tiles (N, C, tile, tile) of `cut_tiles` to an image (C, size, size). Overlaps are averaged."""
    side = tiles.shape[-1]
    starts = tile_starts(size, side, stride)
    total = np.zeros((tiles.shape[1], size, size), np.float32)
    count = np.zeros((size, size), np.float32)
    corners = [(y, x) for y in starts for x in starts]
    for (y, x), tile in zip(corners, tiles, strict=True):
        total[:, y : y + side, x : x + side] += tile
        count[y : y + side, x : x + side] += 1
    return total / count
