"""The demo: a training and an evaluation on each class of the built-in data set of fabrics."""

from collections.abc import Iterator
from pathlib import Path

from ssim_ae.config import Config
from ssim_ae.detector.detector import Detector
from ssim_ae.evaluation.results import Evaluation
from ssim_ae.report.report import write_report
from ssim_ae.synthetic import fabric
from ssim_ae.training.train import Run, train

DEMO_CLASSES = ("twill", "canvas")
IMAGE_COUNTS = {"train": 120, "good": 20, "defective": 5}  # training, good test images; defective ones per defect type


def demo(folder: Path) -> Iterator[tuple[Run, Evaluation]]:
    """Draw the data set, train and evaluate in `folder`; yield the run and the evaluation of each class.

    A data set that exists is used again. Each run gets a new folder.
    """
    for name in DEMO_CLASSES:
        data = folder / "fabric" / name
        if not data.exists():
            fabric.make(folder / "fabric", classes=[name], **IMAGE_COUNTS)
        run = train(Config.read(None, {"dataset_path": str(data)}), runs=folder / "runs")
        if not run.finished:
            raise KeyboardInterrupt
        yield run, write_report(run.detector_path, Detector.load(run.detector_path), run.dataset, run.folder / "report")
