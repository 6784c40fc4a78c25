"""What the parts of gpu.py share: the sizes of the workloads, and a result."""

from typing import Literal, NamedTuple, Self

import torch


class Plan(NamedTuple):
    """Sizes of the workloads. `batches` are patches per step, `side` is the working size of the checks, px."""

    device_target: Literal["CPU", "GPU"]
    images: str  # a folder in MVTec AD's layout, or empty: drawn images
    gray_batches: tuple[int, ...]
    color_batches: tuple[int, ...]
    side: int
    crop_size: int
    channels_scale: int  # `flc` of all networks
    repeats: int
    training_images: int
    repair_patches: int  # in each of the default epochs
    resumed_patches: int  # in each epoch of the training that is killed
    checkpoint_seconds: float  # of the same training
    reference_epochs: int
    inspected_sides: tuple[int, ...]
    least_seconds: float  # with less time left no part starts

    @classmethod
    def full(cls, images: str) -> Self:
        """Return the sizes for a GPU."""
        return cls(
            device_target="GPU",
            images=images,
            gray_batches=(16, 128, 512, 2048),
            color_batches=(16, 32, 128, 512),
            side=256,
            crop_size=128,
            channels_scale=32,
            repeats=5,
            training_images=200,
            repair_patches=10_000,
            resumed_patches=5_000,
            checkpoint_seconds=1.0,
            reference_epochs=200,
            inspected_sides=(256, 1024),
            least_seconds=10,
        )

    @classmethod
    def toy(cls) -> Self:
        """Return tiny sizes for the CPU."""
        return cls(
            device_target="CPU",
            images="",
            gray_batches=(4,),
            color_batches=(2,),
            side=64,
            crop_size=32,
            channels_scale=4,
            repeats=1,
            training_images=8,
            repair_patches=32,
            resumed_patches=320,
            checkpoint_seconds=0.0,
            reference_epochs=1,
            inspected_sides=(64,),
            least_seconds=0,
        )

    @property
    def device(self) -> torch.device:
        """The device of the measurements."""
        return torch.device("cuda" if self.device_target == "GPU" else "cpu")

    def wait(self) -> None:
        """Wait until the device has done everything."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


class Result(NamedTuple):
    """A measured value and whether it meets its target; a check is one that must."""

    name: str
    value: str
    target: str = ""
    met: bool | None = None
    note: str = ""
    is_check: bool = True

    @classmethod
    def within(cls, name: str, value: float, maximum: float, note: str = "") -> Self:
        """Return the result of a check of a difference."""
        return cls(name, f"{value:.2g}", f"≤ {maximum:g}", value <= maximum, note)

    @classmethod
    def measured(cls, name: str, value: str, target: str = "", met: bool | None = None, note: str = "") -> Self:
        """Return a measurement, which is no check even if it has a target."""
        return cls(name, value, target, met, note, is_check=False)
