"""Connected regions and holes of masks, and grayscale morphological opening, in NumPy."""

from itertools import pairwise
from math import inf, isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Grayscale = NDArray[np.floating[Any]]


def label(mask: ArrayLike, *, connectivity: int = 8) -> tuple[NDArray[np.int32], int]:
    """Number the connected regions of a mask (rows, columns) in raster order of their first pixels.

    Returns the labels, an array of the mask's shape with 0 on the background and 1..n on the regions, and n.
    """
    runs = _find_runs(_as_mask(mask))
    run_labels = _label_runs(runs, connectivity)
    # The edges of the runs cut the flat mask into background, run, background, run, ...
    segment_labels = np.zeros(len(runs.edges) + 1, np.int32)
    segment_labels[1::2] = run_labels
    rows, stride = runs.shape
    labels = np.repeat(segment_labels, np.diff(runs.edges, prepend=0, append=rows * stride))
    return labels.reshape(rows, stride)[:, :-1].copy(), int(run_labels.max(initial=0))


def areas(mask: ArrayLike, *, connectivity: int = 8) -> NDArray[np.int64]:
    """Return the numbers of pixels (n,) of the connected regions of a mask (rows, columns), in the order of `label`."""
    runs = _find_runs(_as_mask(mask))
    run_labels = _label_runs(runs, connectivity)
    return np.bincount(run_labels, weights=runs.lengths)[1:].astype(np.int64)


def without_small_regions(mask: ArrayLike, min_area: int) -> Mask:
    """Remove the regions of fewer than `min_area` px from a mask (rows, columns)."""
    mask = _as_mask(mask)
    if min_area <= 1 or not mask.any():
        return mask
    labels, count = label(mask)
    is_kept = np.bincount(labels.ravel(), minlength=count + 1) >= min_area
    is_kept[0] = False  # the background
    kept: Mask = is_kept[labels]
    return kept


def largest_region(mask: ArrayLike) -> Mask:
    """Return the largest region of a mask (rows, columns); of several, the one that ends last in raster order."""
    labels, count = label(_as_mask(mask)[::-1, ::-1])
    if not count:
        return labels.astype(bool)
    sizes = np.bincount(labels.ravel())[1:]
    region: Mask = (labels == 1 + np.argmax(sizes))[::-1, ::-1]
    return region


def fill_holes(mask: ArrayLike) -> Mask:
    """Fill the holes of a mask (rows, columns): background that is not 4-connected to the border."""
    padded_background = np.pad(~_as_mask(mask), 1, constant_values=True)
    labels, _ = label(padded_background, connectivity=4)
    outside_label = labels[0, 0]
    filled: Mask = labels[1:-1, 1:-1] != outside_label
    return filled


def opening(values: ArrayLike, *, radius: int = 4) -> Grayscale:
    """Open (..., rows, columns) floating-point values with the digital disk x² + y² <= radius².

    Pixels beyond the border are ignored. Thresholding commutes with the opening: `opening(a) > t` is the binary
    opening of `a > t`.
    """
    values = np.asarray(values)
    if values.ndim < 2 or not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"expected floating (..., rows, columns), got {values.dtype} {values.shape}")
    if radius < 0:
        raise ValueError(f"expected a radius of 0 or more, got {radius}")
    eroded = _extreme_over_disk(np.minimum, values, radius, outside=inf)
    return _extreme_over_disk(np.maximum, eroded, radius, outside=-inf)


def disk_rectangles(radius: int) -> list[tuple[int, int]]:
    """Decompose the digital disk into its largest centered rectangles. Their union is the disk.

    Returns (half_rows, half_columns) of each rectangle, from the tallest, (radius, 0), to the widest, (0, radius).
    A rectangle has 2 * half_rows + 1 rows and 2 * half_columns + 1 columns.
    """
    tallest = {isqrt(radius**2 - half_rows**2): half_rows for half_rows in range(radius + 1)}
    return [(half_rows, half_columns) for half_columns, half_rows in reversed(tallest.items())]


class _Runs(NamedTuple):
    """The horizontal runs of a mask, as positions in the flattened mask.

    The mask is padded with an empty column on the right before it is flattened. The column separates the runs of
    successive rows, also diagonally.
    """

    edges: Indices  # the first position of each run and the position after its end, alternating
    shape: tuple[int, int]  # of the padded mask

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


def _find_runs(mask: Mask) -> _Runs:
    rows, columns = mask.shape
    # One position before the first row, so that a run that starts in the corner has an edge.
    flat = np.zeros(1 + rows * (columns + 1), bool)
    flat[1:].reshape(rows, columns + 1)[:, :columns] = mask
    return _Runs(np.flatnonzero(flat[1:] != flat[:-1]), (rows, columns + 1))


def _label_runs(runs: _Runs, connectivity: int) -> NDArray[np.int32]:
    """Return the label (runs,) of the region that each run belongs to: 1..n in the order of their first runs."""
    if connectivity not in (4, 8):
        raise ValueError(f"expected a connectivity of 4 or 8, got {connectivity}")
    first_runs = _smallest_members(len(runs.starts), _touching_pairs(runs, diagonal=connectivity == 8))
    is_first = first_runs == np.arange(len(first_runs))
    return np.cumsum(is_first, dtype=np.int32)[first_runs]


def _touching_pairs(runs: _Runs, *, diagonal: bool) -> Indices:
    """Return the pairs (2, pairs) of runs in neighboring rows that share an edge or, if `diagonal`, a corner.

    If two runs touch, the start of one is beside the other or just after its end. Some pairs appear twice.
    """
    rows, stride = runs.shape
    last_started = np.repeat(np.arange(-1, len(runs.starts)), np.diff(runs.starts, prepend=0, append=rows * stride))
    above = _pairs_beside_starts(runs, last_started, shift=-stride, diagonal=diagonal)
    below = _pairs_beside_starts(runs, last_started, shift=stride, diagonal=diagonal)
    return np.concatenate([above, below], axis=1)


def _pairs_beside_starts(runs: _Runs, last_started: Indices, *, shift: int, diagonal: bool) -> Indices:
    """Return the pairs (2, pairs) of a run and the run that is `shift` positions after its start.

    `last_started` holds, for each position, the last run that starts at or before it, -1 if there is none.
    """
    beside = runs.starts + shift
    inside = np.flatnonzero((beside >= 0) & (beside < len(last_started)))
    beside = beside[inside]
    other = last_started[beside]
    touches = (other >= 0) & (beside < runs.stops[other] + int(diagonal))
    return np.stack([inside[touches], other[touches]])


def _smallest_members(count: int, pairs: Indices) -> Indices:
    """Return the smallest member (count,) of each item's set after joining the sets of all pairs (2, pairs).

    Each round attaches every root to its smallest neighbor with a smaller number. A root without such a neighbor
    gets another root attached, or has such a neighbor in the next round. The number of rounds therefore grows as
    log(count) (Shiloach and Vishkin 1982).
    """
    root = np.arange(count)
    while pairs.size:
        np.minimum.at(root, pairs.max(axis=0), pairs.min(axis=0))
        root = _find_roots(root)
        pairs = root[pairs]
        pairs = np.compress(pairs[0] != pairs[1], pairs, axis=1)
    return root


def _find_roots(parent: Indices) -> Indices:
    """Return the root (count,) of every item of a forest, given its parents. A root is its own parent."""
    while not np.array_equal(grandparent := parent[parent], parent):
        parent = grandparent
    return parent


def _extreme_over_disk(extreme: np.ufunc, values: Grayscale, radius: int, *, outside: float) -> Grayscale:
    """Return the minimum or maximum over the disk around each pixel. Pixels beyond the border count as `outside`.

    The disk is the union of the rectangles of `disk_rectangles`, so the result is the extreme over all rectangles.
    The extreme over one rectangle is a running extreme over its columns, followed by one over its rows. From the
    tallest rectangle to the widest, the loop computes both incrementally:

    - Columns: the windows grow, so the running extreme for one rectangle is extended to that for the next one.
    - Rows: the windows shrink, and are applied in parts, to all rectangles together. For rectangles of 5, 3 and 1 rows
      (t, m and w over their columns; `max_n` the maximum over n rows):

          max_5(t), max_3(m), w  ->  max(max_3(max(max_3(t), m)), w)
    """
    *_, rows, columns = values.shape
    padded = np.full((*values.shape[:-2], rows + 2 * radius, columns + 2 * radius), outside, values.dtype)
    padded[..., radius : radius + rows, radius : radius + columns] = values
    over_columns = padded  # running extremes over the columns of the current rectangle
    combined = _center(padded, rows + 2 * radius, columns)  # with fewer rows after each step
    for (previous_half_rows, previous_half_columns), (half_rows, half_columns) in pairwise(disk_rectangles(radius)):
        over_columns = _extend(extreme, over_columns, 2 * previous_half_columns + 1, 2 * half_columns + 1, axis=-1)
        combined = _extend(extreme, combined, 1, 2 * (previous_half_rows - half_rows) + 1, axis=-2)
        combined = extreme(combined, _center(over_columns, rows + 2 * half_rows, columns))
    return combined


def _extend(extreme: np.ufunc, windows: Grayscale, length: int, new_length: int, *, axis: int) -> Grayscale:
    """Extend running extremes over windows of `length` values along an axis to windows of `new_length` values.

    Two windows of n values at a distance of k <= n together are a window of n + k values, so each step can double the
    length.
    """
    windows = windows.swapaxes(axis, -1)
    while length < new_length:
        step = min(length, new_length - length)
        windows = extreme(windows[..., :-step], windows[..., step:])
        length += step
    return windows.swapaxes(axis, -1)


def _center(values: Grayscale, rows: int, columns: int) -> Grayscale:
    """Return the central part (..., rows, columns)."""
    top, left = (values.shape[-2] - rows) // 2, (values.shape[-1] - columns) // 2
    return values[..., top : top + rows, left : left + columns]
