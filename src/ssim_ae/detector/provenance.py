"""What a detector remembers of how it was made, and the check of it in a file that a stranger may have written."""

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class PromisedRate(_Checked):
    """The share of good images that are called defective, and the ends of its 90 % interval."""

    rate: float
    low: float
    high: float


class Origin(_Checked):
    """Where thresholds come from: the estimator, and what it promises."""

    estimator: str
    good_images: NonNegativeInt
    learned_images: NonNegativeInt = 0
    promise: PromisedRate | None = None
    false_alarms: FiniteFloat | None = None


class Provenance(_Checked):
    """Images are remembered by the hash of their content."""

    trained_images: list[str]
    thresholds: Origin
    held_out_images: list[str] = []
    dataset: str = ""
    fingerprint: str = ""
    imported: str = ""
    device: str = ""
    minutes: float = 0.0
    versions: dict[str, str] = {}
