"""Learning rates as a function of progress."""

import math

from ssim_ae.config import Config

WARM_UP = 0.3  # share of the training in which one_cycle rises
START, END = 1 / 25, 1e-4  # first and last rate of one_cycle, as shares of the highest


def share_done(config: Config, step: int, seconds: float) -> float:
    """Return how much of a training is done after so many steps and seconds, from 0 to 1."""
    return min(1.0, seconds / (60 * config.minutes) if config.minutes else step / config.steps)


def learning_rate(config: Config, done: float) -> float:
    """Return the rate where a share `done` is done: constant, or one-cycle (Smith & Topin 2019) in cosines."""
    if config.schedule == "constant":
        return config.lr
    peak = config.lr * config.lr_peak_factor
    if done < WARM_UP:
        return peak * _cosine(START, 1.0, done / WARM_UP)
    return peak * _cosine(1.0, END, (done - WARM_UP) / (1 - WARM_UP))


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
