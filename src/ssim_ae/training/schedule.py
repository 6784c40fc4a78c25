"""The learning rate as a function of the completed fraction of a cycle: a training, or what is added to one."""

import math
from typing import NamedTuple

from ssim_ae.config import Config

WARM_UP_FRACTION = 0.3  # fraction of the training in which the rate of one_cycle rises
INITIAL_LR_RATIO = 1 / 25  # first rate of one_cycle / its peak
FINAL_LR_RATIO = 1e-4  # last rate of one_cycle / its peak


class Cycle(NamedTuple):
    """A part of a training in which the learning rate runs through its schedule once: the first part, or an added one.

    As in SGDR (Loshchilov & Hutter 2017), an added part starts from trained weights at the full rate of the schedule.
    """

    first_step: int  # steps taken before it
    first_second: float  # duration of the training before it, s
    steps: int  # its length, unless it is limited in seconds
    seconds: float = 0.0  # its length, s; 0: it is limited in steps


def first_cycle(config: Config) -> Cycle:
    """Return the cycle of a training that nothing was added to."""
    return Cycle(0, 0.0, config.steps, 60 * config.minutes)


def completed_fraction(cycle: Cycle, step: int, seconds: float) -> float:
    """Return the completed fraction of a cycle, 0 to 1, after `step` steps and `seconds` seconds of the training."""
    by_time = cycle.seconds > 0
    return min(
        1.0, (seconds - cycle.first_second) / cycle.seconds if by_time else (step - cycle.first_step) / cycle.steps
    )


def learning_rate(config: Config, completed: float) -> float:
    """Return the learning rate at a completed fraction of a cycle, 0 to 1.

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
