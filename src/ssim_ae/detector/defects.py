"""The defects of an image."""

from __future__ import annotations

import numpy as np

from ssim_ae.detector.box import Box
from ssim_ae.images.view import View
from ssim_ae.maps.regions import label


def boxes(mask: np.ndarray, anomaly: np.ndarray, view: View, height: int, width: int) -> list[Box]:
    """Return the boxes of the connected regions of a mask, in descending order of their scores.

    `mask` (h, w) bool and the anomaly map (h, w) are those of the view of an image of height x width px.
    """
    labels, count = label(mask)
    rows, columns = np.nonzero(labels)
    region = labels[rows, columns] - 1
    first, last = np.full((2, count), max(view.size)), np.full((2, count), -1)
    scores = np.zeros(count, np.float32)
    for axis, positions in enumerate((rows, columns)):
        np.minimum.at(first[axis], region, positions)
        np.maximum.at(last[axis], region, positions)
    np.maximum.at(scores, region, anomaly[rows, columns])
    found = [
        Box(*view.to_image_box(first[0][i], last[0][i], first[1][i], last[1][i], height, width), float(scores[i]))
        for i in range(count)
    ]
    return sorted(found, key=lambda box: -box.score)
