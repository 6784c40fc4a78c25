"""Samples of sequences that need no random numbers."""

import numpy as np


def equal_intervals(count: int, at_most: int) -> list[int]:
    """Return the indices of at most `at_most` of `count` items, at equal intervals, with the first and the last one."""
    indices: list[int] = np.linspace(0, count - 1, min(at_most, count)).astype(int).tolist()
    return indices
