"""Why a detector finds little: the reasons that its file tells apart."""

from collections.abc import Iterator

from ssim_ae.config.config import default_of
from ssim_ae.detector.detectability_chart import DetectabilityChart
from ssim_ae.detector.detector_file import DetectorFile

LITTLE_FOUND = 0.1  # share of all drawn defects
LITTLE_TRAINING = 0.25  # of the default number of patches
COARSE_REDUCTION = 4  # px of the image along a side of a pixel of the view
OUTLIER_FACTOR = 0.7  # of the thresholds, if they were estimated without the most unusual good image


def finds_next_to_nothing(chart: DetectabilityChart) -> bool:
    """Return whether a detector is of little use, judging by the drawn defects."""
    return chart.mean_share < LITTLE_FOUND


def reasons(file: DetectorFile) -> Iterator[str]:
    """Yield why the detector of a file may find little, with what to do."""
    config, provenance = file.config, file.provenance
    patches = provenance.steps * config.batch_size
    default = default_of("epochs", config.method) * default_of("augment_num", config.method)
    if 0 < patches < LITTLE_TRAINING * default:
        yield f"little training: {patches:,} patches, by default {default:,}; train for more epochs"
    if file.detectability:
        side = min(file.detectability.image_height, file.detectability.image_width)
        if side >= COARSE_REDUCTION * config.im_resize:
            yield f"coarse resolution: images of {side} px are inspected at {config.im_resize} px; raise im_resize"
    origin = provenance.thresholds
    if origin.without_highest is not None and origin.without_highest < OUTLIER_FACTOR:
        lower = f"{1 / max(origin.without_highest, 1e-6):.2g} times lower"
        yield f"an outlier sets the thresholds: without the most unusual good image they would be {lower}"
    if origin.left_out_images:
        yield f"defective images among the good ones: {origin.left_out_images} are suspected"
