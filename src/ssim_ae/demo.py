"""The demo: draw the built-in data set, learn from its good images, find the defects in the others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssim_ae.config import Config
from ssim_ae.detection.detector import Detector
from ssim_ae.evaluation.evaluate import Evaluation, evaluate
from ssim_ae.images import fabric
from ssim_ae.training.train import Run, train

TEXTURE: dict[str, Any] = {
    "im_resize": 256,
    "crop_size": 128,
    "p_rotate": 0.0,
    "p_horizontal_flip": 0.0,
    "p_vertical_flip": 0.0,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "twill": TEXTURE | {"epochs": 2, "augment_num": 8000, "batch_size": 32},
}


def demo(folder: Path) -> Iterator[tuple[Run, Evaluation]]:
    """Run the main job in `folder`, a class at a time. The data set is drawn once, a run gets a new folder."""
    for name, settings in SETTINGS.items():
        data = folder / "fabric" / name
        if not data.exists():
            fabric.make(folder / "fabric", classes=[name])
        run = train(Config(dataset_path=str(data), **settings), runs=folder / "runs")
        yield run, evaluate(Detector.load(run.detector_path), run.dataset, run.folder / "evaluation")
