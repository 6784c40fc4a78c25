"""Short trainings: settings, commands, an interruption, and the weights of a run."""

import os
import signal
import sys

import numpy as np

from ssim_ae.detector.detector_file import read_detector
from ssim_ae.training import loop

SMALL = [
    "method=reference",
    "im_resize=64",
    "crop_size=32",
    "z_dim=8",
    "flc=4",
    "stride=16",
    "batch_size=16",
    "device_target=CPU",
]


def weights(run) -> dict[str, np.ndarray]:
    return read_detector(run.detector_path).weights


def equal(first, second) -> bool:
    return all(np.array_equal(first[name], second[name]) for name in first.keys() | second.keys())


def stop_after(monkeypatch, steps: int) -> None:
    """Interrupt the training after some steps, as Ctrl-C does."""
    learning_rate = loop.learning_rate
    remaining = iter(range(steps - 1))

    def rate(*arguments):
        if next(remaining, None) is None:
            os.kill(os.getpid(), signal.SIGINT)
        return learning_rate(*arguments)

    monkeypatch.setattr(loop, "learning_rate", rate)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ssim_ae", "train", *arguments]


def options(pairs: list[str]) -> list[str]:
    return [f"--{pair}" for pair in pairs]
