"""The file metrics.json of an evaluation, as it is read again to compare detectors."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ssim_ae.errors import InputError
from ssim_ae.maps.verdict import is_defective
from ssim_ae.storage import read_file

METRICS_NAME = "metrics.json"


class _Read(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class SavedEstimate(_Read):
    """The value of a metric in [0, 1] with its 95 % interval; None for what could not be computed."""

    value: float | None
    low: float | None
    high: float | None


class SavedMetrics(_Read):
    """The metrics of all images."""

    good: int
    defective: int
    ok: SavedEstimate
    nok: SavedEstimate
    avg: SavedEstimate
    image_auroc: SavedEstimate
    pixel_auroc: SavedEstimate
    au_pro_30: SavedEstimate


class SavedResult(_Read):
    """The result of one image, and the SHA-256 of its file."""

    score: float
    correct: bool
    sha256: str | None = None

    @property
    def rejected(self) -> bool:
        """Whether the verdict is `nok`."""
        return is_defective(self.score)


class SavedEvaluation(_Read):
    """What an evaluation has found: the metrics, with the key `all` for all images, and the results by name."""

    dataset: str
    thresholds: dict[str, float] = {}  # of the detector
    metrics: dict[str, SavedMetrics]
    images: dict[str, SavedResult]


def read_evaluation(folder: Path) -> SavedEvaluation | None:
    """Return the evaluation in the folder of a report, or None if there is none. InputError if it is corrupt."""
    path = folder / METRICS_NAME
    if not path.exists():
        return None
    try:
        return SavedEvaluation.model_validate_json(read_file(path))
    except ValidationError as error:
        raise InputError(f"{path}: corrupt, or from another version; write the report again") from error
