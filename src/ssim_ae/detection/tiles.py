"""Cut an image into overlapping tiles, and average them back together."""

import numpy as np

NEXT_TO_NOTHING = 2.0**-10


def starts(size: int, tile: int, stride: int) -> list[int]:
    """Return where tiles of `tile` px begin along `size` px: every `stride`, and one flush with the end."""
    return sorted({*range(0, size - tile + 1, stride), size - tile})


def cut_tiles(image: np.ndarray, tile: int, stride: int) -> np.ndarray:
    """(C, S, S) -> (N, C, tile, tile), row by row."""
    corners = starts(image.shape[-1], tile, stride)
    return np.stack([image[:, y : y + tile, x : x + tile] for y in corners for x in corners])


def stitch_tiles(tiles: np.ndarray, size: int, stride: int, *, edge: int = 0) -> np.ndarray:
    """(N, C, tile, tile) from `cut_tiles` -> (C, size, size), the mean where tiles overlap.

    Tiles count for nothing along `edge` px of their border, except where no other one reaches.
    """
    weights = tile_weights(tiles.shape[-1], edge)
    corners = starts(size, len(weights), stride)
    total = np.zeros((tiles.shape[1], size, size), np.float32)
    count = np.zeros((size, size), np.float32)
    positions = [(y, x) for y in corners for x in corners]
    both = weights[:, None] * weights
    for (y, x), part in zip(positions, tiles, strict=True):
        window = (..., slice(y, y + len(weights)), slice(x, x + len(weights)))
        total[window] += part * both
        count[window] += both
    return total / count


def tile_weights(tile: int, edge: int) -> np.ndarray:
    """Return what a tile counts for along a line of it, (tile,) float32."""
    weights = np.ones(tile, np.float32)
    weights[:edge] = weights[tile - edge :] = NEXT_TO_NOTHING
    return weights
