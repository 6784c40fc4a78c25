"""What a training results in: a detector with thresholds, what it finds, and images that may be defective."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from ssim_ae.calibration.calibrate import calibrate, threshold_images
from ssim_ae.calibration.suspects import Suspect
from ssim_ae.calibration.suspects_sheet import write_suspects
from ssim_ae.config import Config
from ssim_ae.console import print_note
from ssim_ae.detectability.measure import measure_detectability
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import DetectorFile, read_detector, write_detector
from ssim_ae.detector.look import UsualImages
from ssim_ae.detector.provenance import COPIES, Provenance
from ssim_ae.detector.regions import Regions
from ssim_ae.detector.run_folder import DETECTOR_NAME, set_current
from ssim_ae.errors import InputError
from ssim_ae.methods import method_of
from ssim_ae.training.cross_fitting import calibrate_fitted
from ssim_ae.training.good_images import GoodImages
from ssim_ae.training.learner import Learner
from ssim_ae.training.recalibrate import THRESHOLD_KEYS


class TrainingResult(NamedTuple):
    """The content of a detector file, the detector, and the good images that may be defective."""

    file: DetectorFile
    detector: Detector
    suspects: Sequence[Suspect]

    @classmethod
    def of(
        cls,
        learner: Learner,
        config: Config,
        good: GoodImages,
        provenance: Provenance,
        regions: Regions | None = None,
    ) -> Self:
        """Estimate the thresholds of what was learned from held-out images and, if it is finished, what it finds."""
        method = method_of(config)
        unit = method.thresholds([1.0] * len(method.residual_names))
        learned = DetectorFile(
            config, unit, learner.weights(), provenance, alignment=learner.alignment, regions=regions
        )
        untested = Detector.with_runtime(learned, learner.runtime())
        held_out, training = threshold_images(good.held_out_paths, good.training_paths)
        if method.engines:
            calibration = calibrate(untested, held_out, config, training)
        else:
            calibration = calibrate_fitted(learner, untested, good.held_out_paths, good.training_paths, config)
        if not good.held_out_paths and calibration.origin.estimator != COPIES:
            print_note(
                "thresholds: estimated from training images (none is held out); expect more false alarms on new images"
            )
        usual = UsualImages.of(calibration.accepted([*held_out, *training]), calibration.scores, config)
        file = calibration.applied_to(learned)._replace(usual=usual)
        detector = Detector.with_runtime(file, untested.runtime)
        if provenance.finished:  # who has interrupted a training waits for its end
            file = file._replace(detectability=measure_detectability(detector, calibration.accepted(held_out)))
        return cls(file, detector, calibration.suspects)

    def write(self, run: Path) -> None:
        """Write the detector into the folder of a run, which keeps a former one that was finished, and the suspects."""
        path = run / DETECTOR_NAME
        if _is_finished_detector(path):
            _note_other_thresholds(path, self.file.config)
            set_current(run, self.file)
        else:
            write_detector(path, self.file)
        if self.file.provenance.finished:
            write_suspects(run, self.detector, self.suspects, Path(self.file.config.dataset_path))


def _is_finished_detector(path: Path) -> bool:
    """Whether a file is a detector to keep: not missing, and not of a training that was interrupted."""
    try:
        return path.exists() and read_detector(path).provenance.finished
    except InputError:
        return True


def _note_other_thresholds(former: Path, config: Config) -> None:
    """Print a note if the former detector got its thresholds in another way than the settings of the run say."""
    try:
        set_by = read_detector(former).config
    except InputError:
        return
    if any(getattr(set_by, key) != getattr(config, key) for key in THRESHOLD_KEYS):
        print_note(
            "thresholds: estimated by the settings of the run; those that were set later are in the former version"
        )
