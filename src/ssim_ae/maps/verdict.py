"""The default threshold, and the comparison that every verdict, mask and metric is based on."""

from typing import overload

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 1.0  # default threshold of the anomaly map and of the score: both are multiples of calibrated thresholds


@overload
def is_defective(values: float) -> bool: ...
@overload
def is_defective(values: np.ndarray) -> NDArray[np.bool_]: ...
def is_defective(values: float | np.ndarray) -> bool | NDArray[np.bool_]:
    """Return whether scores, or pixels of an anomaly map, are above the default threshold.

    An array of any shape is compared element by element.
    """
    return values > THRESHOLD
