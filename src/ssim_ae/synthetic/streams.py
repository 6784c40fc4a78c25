"""The random streams of a drawn image: each of its parts has its own, so that a defect does not change the rest."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.random import Generator

Seed = int | Sequence[int]


class Stream(IntEnum):
    """The parts of an image that are drawn at random."""

    SURFACE = 0
    LIGHT = 1
    NOISE = 2
    DEFECT = 3
    POSE = 4


def stream(seed: Seed, part: Stream) -> Generator:
    """Return the random stream of one part of the image with the given seed."""
    return np.random.default_rng([*(seed if isinstance(seed, Sequence) else [int(seed)]), part])
