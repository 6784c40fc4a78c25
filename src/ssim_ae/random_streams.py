"""Random streams: independent random numbers for each purpose, as functions of the seed.

Nothing random is stored: the patches of an epoch follow from the seed, the stream and the number of the epoch.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """The purposes that random numbers serve; a member is part of the seed, so its number never changes."""

    PATCHES = 1  # image, position, rotation and flips of the patches of an epoch
    PATCH_ORDER = 2  # order of the patches of an epoch
    MONITOR_PATCHES = 3  # patches of the held-out images
    HELD_OUT_IMAGES = 4  # choice of the held-out images
    CROSS_VALIDATION = 5  # folds of the held-out images
    MONITOR_CORRUPTION = 6  # corruption of the monitor patches
    ILLUMINATION = 7  # illumination of the patches of an epoch
    CORRUPTION = 8  # corruption of the patches of an epoch
    INITIAL_WEIGHTS = 9  # of the network, where the framework does not draw them
    DRAWN_DEFECTS = 10  # place and shape of the defects of a detectability chart
    CALIBRATION_IMAGES = 11  # choice of the images that set thresholds, of more than are needed


def random_stream(seed: int, stream: Stream, *index: int) -> np.random.Generator:
    """Return the generator of a stream; `index` is the number of an epoch, for example."""
    return np.random.default_rng([seed, stream, *index])
