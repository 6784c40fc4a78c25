"""Residuals and folders of good images for the tests of calibration."""

import numpy as np
import pytest

from ssim_ae.maps.residuals import Residuals


def scaled(residuals: Residuals, *, ssim: float = 1, l1: float = 1) -> Residuals:
    """Return residuals whose maps are multiplied by factors."""
    return residuals._replace(maps=residuals.maps * np.float32([[[ssim]], [[l1]]]))


@pytest.fixture
def held_out(rng):
    """Residuals of 12 good images."""

    def residuals():
        blotches = np.kron(rng.random((16, 16)), np.ones((4, 4)))
        ssim = (0.2 * blotches + 0.1 * rng.random((64, 64))).astype(np.float32)
        l1 = 0.3 * ssim + 0.01 * rng.random((64, 64), np.float32)
        return Residuals(np.stack([ssim, l1]), np.ones((64, 64), bool))

    return [residuals() for _ in range(12)]
