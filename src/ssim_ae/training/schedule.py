"""Learning rates as a function of progress."""

import math

from ssim_ae.config import Config

WARM_UP = 0.3  # share of the training in which one_cycle rises
START, END = 1 / 25, 1e-4  # first and last rate of one_cycle, as shares of the highest


def learning_rate(config: Config, step: int, steps: int) -> float:
    """Return the rate of step 0 <= step < steps: constant, or one-cycle (Smith & Topin 2019) in cosines."""
    if config.schedule == "constant":
        return config.lr
    peak = config.lr * config.lr_peak
    progress = step / max(1, steps - 1)
    if progress < WARM_UP:
        return peak * _cosine(START, 1.0, progress / WARM_UP)
    return peak * _cosine(1.0, END, (progress - WARM_UP) / (1 - WARM_UP))


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
