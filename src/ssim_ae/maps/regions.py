"""Regions of a mask, its holes, and the grey opening by a disk, in array code alone."""

from math import inf, isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Grey = NDArray[np.floating[Any]]


def label(mask: ArrayLike, *, connectivity: int = 8) -> tuple[NDArray[np.int32], int]:
    """Number the connected regions of a (rows, columns) mask in raster order of their first pixel.

    Returns labels of the mask's shape, 0 on the background and 1..n on the regions, and n.
    """
    runs = _runs(_as_mask(mask))
    run_labels = _region_labels(runs, connectivity)
    gaps_and_runs = np.zeros(len(runs.edges) + 1, np.int32)
    gaps_and_runs[1::2] = run_labels
    rows, stride = runs.shape
    labels = np.repeat(gaps_and_runs, np.diff(runs.edges, prepend=0, append=rows * stride))
    return labels.reshape(rows, stride)[:, :-1].copy(), int(run_labels.max(initial=0))


def areas(mask: ArrayLike, *, connectivity: int = 8) -> NDArray[np.int64]:
    """Pixel counts (n,) of the connected regions of a (rows, columns) mask, in the order of `label`."""
    runs = _runs(_as_mask(mask))
    run_labels = _region_labels(runs, connectivity)
    return np.bincount(run_labels, weights=runs.lengths)[1:].astype(np.int64)


def without_small_regions(mask: ArrayLike, min_area: int) -> Mask:
    """Keep of a (rows, columns) mask the regions of at least `min_area` px."""
    mask = _as_mask(mask)
    if min_area <= 1 or not mask.any():
        return mask
    labels, count = label(mask)
    large = np.bincount(labels.ravel(), minlength=count + 1) >= min_area
    large[0] = False
    kept: Mask = large[labels]
    return kept


def fill_holes(mask: ArrayLike) -> Mask:
    """Add to a (rows, columns) mask the background that no path of edge neighbours joins to the border."""
    surrounded_background = np.pad(~_as_mask(mask), 1, constant_values=True)
    labels, _ = label(surrounded_background, connectivity=4)
    outside = labels[0, 0]
    filled: Mask = labels[1:-1, 1:-1] != outside
    return filled


def opening(values: ArrayLike, *, radius: int = 4) -> Grey:
    """Grey opening of (..., rows, columns) floating values by the digital disk x² + y² <= radius².

    Neighbours beyond the border take no part. Thresholding commutes with it: `opening(a) > t` is the
    binary opening of `a > t`.
    """
    values = np.asarray(values)
    if values.ndim < 2 or not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"expected floating (..., rows, columns), got {values.dtype} {values.shape}")
    if radius < 0:
        raise ValueError(f"expected a radius of 0 or more, got {radius}")
    eroded = _extreme_over_disk(np.minimum, values, radius, outside=inf)
    return _extreme_over_disk(np.maximum, eroded, radius, outside=-inf)


def rectangles(radius: int) -> list[tuple[int, int]]:
    """Half sides (rows, columns) of the largest rectangles in the disk, from the tallest to the widest."""
    tallest = {isqrt(radius**2 - half_rows**2): half_rows for half_rows in range(radius + 1)}
    return [(half_rows, half_columns) for half_columns, half_rows in reversed(tallest.items())]


class _Runs(NamedTuple):
    """Horizontal runs of a mask that was given one empty column on its right and then laid out flat.

    Edges are the positions where runs start and, every other one, the positions past their ends. The empty
    column keeps runs within their rows and the diagonal neighbours of a run within theirs.
    """

    edges: Indices
    shape: tuple[int, int]

    @property
    def starts(self) -> Indices:
        return self.edges[0::2]

    @property
    def stops(self) -> Indices:
        return self.edges[1::2]

    @property
    def lengths(self) -> Indices:
        return self.stops - self.starts


def _as_mask(mask: ArrayLike) -> Mask:
    mask = np.asarray(mask, bool)
    if mask.ndim != 2:
        raise ValueError(f"expected a mask (rows, columns), got shape {mask.shape}")
    return mask


def _runs(mask: Mask) -> _Runs:
    rows, columns = mask.shape
    # The position before the first row shows a run that starts in the corner.
    flat = np.zeros(1 + rows * (columns + 1), bool)
    flat[1:].reshape(rows, columns + 1)[:, :columns] = mask
    return _Runs(np.flatnonzero(flat[1:] != flat[:-1]), (rows, columns + 1))


def _region_labels(runs: _Runs, connectivity: int) -> NDArray[np.int32]:
    """Label (runs,) of the region each run belongs to, 1..n in order of their first runs."""
    if connectivity not in (4, 8):
        raise ValueError(f"expected a connectivity of 4 or 8, got {connectivity}")
    first_runs = _join(len(runs.starts), _touching(runs, diagonal=connectivity == 8))
    is_first = first_runs == np.arange(len(first_runs))
    return np.cumsum(is_first, dtype=np.int32)[first_runs]


def _touching(runs: _Runs, *, diagonal: bool) -> Indices:
    """Pairs (2, pairs) of runs in neighbouring rows that share an edge, or else a corner if `diagonal`.

    Of two such runs one starts beside the other, or just past its end. Some pairs come both ways round.
    """
    rows, stride = runs.shape
    last_started = np.repeat(np.arange(-1, len(runs.starts)), np.diff(runs.starts, prepend=0, append=rows * stride))
    above = _starting_beside(runs, last_started, shift=-stride, diagonal=diagonal)
    below = _starting_beside(runs, last_started, shift=stride, diagonal=diagonal)
    return np.concatenate([above, below], axis=1)


def _starting_beside(runs: _Runs, last_started: Indices, *, shift: int, diagonal: bool) -> Indices:
    """Pairs (2, pairs) of a run and the one that lies `shift` positions after its start.

    `last_started` gives for each position the last run that starts there or before, -1 where none does.
    """
    beside = runs.starts + shift
    inside = np.flatnonzero((beside >= 0) & (beside < len(last_started)))
    beside = beside[inside]
    other = last_started[beside]
    touches = (other >= 0) & (beside < runs.stops[other] + int(diagonal))
    return np.stack([inside[touches], other[touches]])


def _join(count: int, pairs: Indices) -> Indices:
    """Smallest member (count,) of the set each of `count` items falls in when pairs (2, pairs) are joined.

    Each round hooks every root onto its smallest neighbour of smaller number. A root without one is hooked
    onto, or has one in the next round, so rounds grow as log(count) (Shiloach and Vishkin 1982).
    """
    root = np.arange(count)
    while pairs.size:
        np.minimum.at(root, pairs.max(axis=0), pairs.min(axis=0))
        root = _flatten(root)
        pairs = root[pairs]
        pairs = np.compress(pairs[0] != pairs[1], pairs, axis=1)
    return root


def _flatten(parent: Indices) -> Indices:
    """Root (count,) of every item of a forest given by parents, a root being its own parent."""
    while not np.array_equal(grandparent := parent[parent], parent):
        parent = grandparent
    return parent


def _extreme_over_disk(extreme: np.ufunc, values: Grey, radius: int, *, outside: float) -> Grey:
    """Minimum or maximum over the disk around each pixel, as the extreme over the disk's rectangles.

    From the tallest rectangle to the widest, what is gathered so far grows down the rows by what the next
    rectangle is shorter, so all share one pass along the columns and one along the rows.
    """
    *_, rows, columns = values.shape
    across = np.full((*values.shape[:-2], rows + 2 * radius, columns + 2 * radius), outside, values.dtype)
    across[..., radius : radius + rows, radius : radius + columns] = values
    gathered = across[..., radius : radius + columns]
    reach_down, reach_across = radius, 0
    for half_rows, half_columns in rectangles(radius)[1:]:
        across = _slide(extreme, across, 2 * reach_across + 1, 2 * half_columns + 1)
        gathered = _slide(extreme, gathered.swapaxes(-1, -2), 1, 2 * (reach_down - half_rows) + 1)
        gathered = gathered.swapaxes(-1, -2)
        skip = radius - half_rows
        centred = across[..., skip : skip + gathered.shape[-2], radius - half_columns :][..., :columns]
        gathered = extreme(gathered, centred)
        reach_down, reach_across = half_rows, half_columns
    return gathered


def _slide(extreme: np.ufunc, windows: Grey, width: int, wider: int) -> Grey:
    """Turn extremes of windows `width` long on the last axis into those of windows `wider` long."""
    while width < wider:
        step = min(width, wider - width)
        windows = extreme(windows[..., :-step], windows[..., step:])
        width += step
    return windows
