"""The learning rate as a function of the completed fraction of the training."""

import math

from ssim_ae.config import Config

WARM_UP_FRACTION = 0.3  # fraction of the training in which the rate of one_cycle rises
INITIAL_LR_RATIO = 1 / 25  # first rate of one_cycle / its peak
FINAL_LR_RATIO = 1e-4  # last rate of one_cycle / its peak


def completed_fraction(config: Config, step: int, seconds: float) -> float:
    """Return the completed fraction of the training, 0 to 1, after `step` steps and `seconds` seconds."""
    return min(1.0, seconds / (60 * config.minutes) if config.minutes else step / config.steps)


def learning_rate(config: Config, completed: float) -> float:
    """Return the learning rate at a completed fraction of the training, 0 to 1.

    `constant`: always `lr`. `one_cycle` (Smith & Topin 2019): from a low rate to the peak `lr` * `lr_peak_factor` and
    down to almost 0, both along half a cosine.
    """
    if config.schedule == "constant":
        return config.lr
    peak = config.lr * config.lr_peak_factor
    if completed < WARM_UP_FRACTION:
        return peak * _cosine(INITIAL_LR_RATIO, 1.0, completed / WARM_UP_FRACTION)
    return peak * _cosine(1.0, FINAL_LR_RATIO, (completed - WARM_UP_FRACTION) / (1 - WARM_UP_FRACTION))


def _cosine(start: float, end: float, fraction: float) -> float:
    """Interpolate between two values along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
