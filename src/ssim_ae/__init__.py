"""SSIM-AE: visual defect detection from good images alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssim_ae.config import Config as Config
    from ssim_ae.detector.detector import Detector as Detector
    from ssim_ae.detector.inspection import Inspection as Inspection
    from ssim_ae.errors import InputError as InputError
    from ssim_ae.evaluation.evaluate import evaluate as evaluate
    from ssim_ae.images.folders import find_dataset as find_dataset
    from ssim_ae.training.train import train as train

__version__ = "0.2.0.dev0"

# Imported when they are first used: inspection needs no training framework.
_MODULES = {
    "Config": "config",
    "Detector": "detector.detector",
    "Inspection": "detector.inspection",
    "InputError": "errors",
    "evaluate": "evaluation.evaluate",
    "find_dataset": "images.folders",
    "train": "training.train",
}
__all__ = ["__version__", *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
