"""Why a detector finds little: the reasons that its file tells apart."""

from collections.abc import Iterator
from math import prod
from typing import Protocol

from ssim_ae.config import Config
from ssim_ae.config.descriptions import default_of
from ssim_ae.detector.detectability_chart import DetectabilityChart
from ssim_ae.detector.provenance import Provenance
from ssim_ae.images.size import Size
from ssim_ae.methods import method_of
from ssim_ae.spelling import significant

LITTLE_FOUND = 0.5  # share of the drawn defects of the size and contrast that it finds best
NEXT_TO_NOTHING = 0.1  # the same
LITTLE_TRAINING = 0.25  # of the default number of patches
COARSE_REDUCTION = 4  # px of the image along a side of a pixel of the view
OUTLIER_FACTOR = 0.7  # of the thresholds, if they were estimated without the most unusual good image


class Described(Protocol):
    """A detector or the content of its file."""

    @property
    def config(self) -> Config:
        """Its settings."""
        ...

    @property
    def provenance(self) -> Provenance:
        """Where it comes from."""
        ...

    @property
    def detectability(self) -> DetectabilityChart | None:
        """What it finds, if it was measured."""
        ...


def weakness(detector: Described) -> list[str]:
    """Return that a detector finds little even of large defects, and the reasons, a sentence each; else nothing."""
    chart = detector.detectability
    if not chart or not chart.found or chart.best_share >= LITTLE_FOUND:
        return []
    little = "next to nothing" if chart.best_share < NEXT_TO_NOTHING else "little"
    most = f"at most {100 * chart.best_share:.0f} % of the drawn defects of any size and contrast"
    return [f"This detector finds {little}: {most}.", *_reasons(detector, chart)]


def _reasons(detector: Described, chart: DetectabilityChart) -> Iterator[str]:
    """Yield why the detector may find little, with what to do."""
    config, provenance = detector.config, detector.provenance
    patches = provenance.steps * config.batch_size
    usual = method_of(config).texture_defaults if config.texture else {}
    default = prod(usual.get(key, default_of(key, config.method)) for key in ("epochs", "augment_num"))
    if 0 < patches < LITTLE_TRAINING * default:
        yield f"Little training: {patches:,} patches, by default {default:,}; train for more epochs."
    image, inspected = Size(chart.image_height, chart.image_width), config.working_size
    if all(length >= COARSE_REDUCTION * side for length, side in zip(image, inspected, strict=True)):
        yield f"Coarse resolution: images of {image} are inspected at {inspected}; raise the resolution."
    origin = provenance.thresholds
    if origin.without_highest is not None and origin.without_highest < OUTLIER_FACTOR:
        lower = f"{significant(1 / max(origin.without_highest, 0.01), 2)} times lower"
        yield f"An outlier sets the thresholds: without the most unusual good image they would be {lower}."
    if origin.left_out_images:
        yield f"Good images that may be defective: {origin.left_out_images}; look at suspects.png in the run's folder."
