"""Thresholds from good images alone.

Both residuals are first divided by their `percent`-th percentile over the held-out good images: that is the
reference's estimate. The other estimators multiply the pair by one factor, read off the anomaly maps it gives.
"""

from collections.abc import Iterator, Sequence
from math import inf

import numpy as np

from ssim_ae.config import Config
from ssim_ae.detection.residuals import Residuals, Thresholds, anomaly_map, level_of_area
from ssim_ae.errors import InputError

FEW_WINDOWS, FEW_IMAGES = 10, 20  # fewer are worth a warning
JUST_ABOVE = 1 + 1e-5  # the largest held-out score must not round to more than the limit


def estimate(held_out: Sequence[Residuals], config: Config) -> Thresholds:
    """Return the thresholds for `config.threshold`; a threshold >= 0 in the config overrides its estimate.

    InputError without held-out images, unless both thresholds are given, and where all is background.
    """
    given = Thresholds(config.ssim_threshold, config.l1_threshold)
    if min(given) >= 0:
        return given
    if not held_out:
        raise InputError("no good images to estimate thresholds from")
    if not any(maps.foreground.any() for maps in held_out):
        raise InputError(f"bg_mask {config.bg_mask}: every good image is all background; leave it empty")
    base = percentiles(held_out, config.percent)
    # A threshold that is given takes its residual out of the search for the other.
    base = Thresholds(*(inf if fixed >= 0 else found for fixed, found in zip(given, base, strict=True)))
    factor = 1.0
    if config.threshold != "percent":
        maps = [anomaly_map(maps, base) for maps in held_out]
        factor = _factor(maps, config)
    estimated = Thresholds(base.ssim * factor, base.l1 * factor)
    return Thresholds(*(fixed if fixed >= 0 else found for fixed, found in zip(given, estimated, strict=True)))


def percentiles(held_out: Sequence[Residuals], percent: float) -> Thresholds:
    """Return the `percent`-th percentile of all residual pixels, as the reference does."""
    return Thresholds(
        float(np.percentile(np.stack([maps.ssim for maps in held_out]), percent)),
        float(np.percentile(np.stack([maps.l1 for maps in held_out]), percent)),
    )


def few_images_notes(held_out: Sequence[Residuals], percent: float) -> Iterator[str]:
    """Yield warnings where the held-out images are too few for what is asked of them."""
    windows = sum(maps.ssim.size for maps in held_out) / 11**2  # neighbouring px share their SSIM window
    above = windows * (100 - percent) / 100
    if above < FEW_WINDOWS:
        yield (
            f"{len(held_out)} good images are few for the {percent:g}th percentile: "
            f"it rests on about {above:.0f} independent windows; lower percent or hold out more"
        )
    if len(held_out) < FEW_IMAGES:
        yield (
            f"thresholds rest on {len(held_out)} good images: expect about 1 new good image in {len(held_out) + 1} "
            "to be called defective; more good images make them surer"
        )


def _factor(maps: Sequence[np.ndarray], config: Config) -> float:
    """Return what the percentiles are multiplied by so that the limit of the maps becomes the estimator's."""
    if config.threshold == "max_area":  # the paper's rule (Bergmann et al. 2018, section 4.2)
        return max(float(level_of_area(opened, config.min_area)) for opened in maps) * JUST_ABOVE
    scores = np.array([opened.max() for opened in maps])
    if config.threshold == "max":
        return float(scores.max()) * JUST_ABOVE
    return float(scores.mean() + config.k_sigma * scores.std())
