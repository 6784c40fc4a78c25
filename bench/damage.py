"""Measure how small and faint synthetic damage may be to be detected: python bench/damage.py RUN...

An ellipse is drawn into each held-out good image of a run, at the original size of the image. Its diameter is a share
of the side of the image, its opacity 60 %, its fill one of those of training. The table has the percentage of damaged
images that are rejected and, in brackets, the AUROC against the undamaged images. No defective image is used. The
thresholds were estimated from the same held-out images. Runs with the same seed and data set get the same damage.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from report import table
from ssim_ae import Detector, find_dataset
from ssim_ae.augmentation.corruption import Corruption, Fill, ShapeKind, draw_corruption
from ssim_ae.augmentation.torch_corruption import apply_corruption
from ssim_ae.evaluation.metrics import auroc
from ssim_ae.images.files import read_image
from ssim_ae.images.folders import content_hash
from ssim_ae.maps.verdict import is_defective

DIAMETERS = (0.01, 0.02, 0.04, 0.08, 0.16)  # of the ellipses, in sides of the image
FILLS = {
    "piece of another image": Fill.PIECE,
    "color": Fill.COLOR,
    "smooth noise": Fill.SMOOTH_NOISE,
    "tint": Fill.TINT,
    "blur": Fill.BLUR,
}
OPACITY = 0.6
SOFTNESS = 0.002  # width of the transition at the edge of an ellipse, in sides of the image


def held_out_images(detector: Detector) -> np.ndarray:
    """Return the good images of the data set that the detector was not trained on, (N, H, W, C) uint8."""
    trained = set(detector.provenance.training_images)
    good = find_dataset(detector.config.dataset_path, img_suffix=detector.config.img_suffix).good
    grayscale = detector.config.grayscale
    return np.stack([read_image(path, grayscale=grayscale) for path in good if content_hash(path) not in trained])


def ellipses(count: int, diameter: float, fill: Fill) -> Corruption:
    """Return one ellipse for each of `count` images. Equal arguments give equal ellipses."""
    drawn = draw_corruption(count, count, np.random.default_rng(round(1000 * diameter)))
    kind = np.full_like(drawn.kind, ShapeKind.NONE)
    kind[:, 0] = ShapeKind.ELLIPSE
    return replace(
        drawn,
        kind=kind,
        center=0.25 + drawn.center / 2,
        size=np.full_like(drawn.size, diameter / 2),
        aspect=drawn.aspect.clip(0.5, 2),
        softness=np.full_like(drawn.softness, SOFTNESS),
        fill=np.full(count, fill),
        opacity=np.full(count, OPACITY),
        noise_std=np.zeros(count),
    )


def apply_damage(images: np.ndarray, damage: Corruption) -> np.ndarray:
    """Return images (N, H, W, C) uint8 with damage."""
    patches = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    changed = apply_corruption(patches, patches[torch.from_numpy(damage.piece_image)], damage)
    return (changed * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def rows(run: str) -> Iterator[list[str]]:
    """Yield a row for each fill, with a cell for each diameter."""
    detector = Detector.load(run)
    images = held_out_images(detector)
    good_scores = _scores(detector, images)
    for label, fill in FILLS.items():
        cells = []
        for diameter in DIAMETERS:
            scores = _scores(detector, apply_damage(images, ellipses(len(images), diameter, fill)))
            rejected = 100 * np.mean(is_defective(np.array(scores)))
            area = auroc([*good_scores, *scores], [0] * len(good_scores) + [1] * len(scores))
            cells.append(f"{rejected:.0f} ({area:.3f})")
        yield [f"{Path(run).name}, {detector.view.size}", label, *cells]


def _scores(detector: Detector, images: np.ndarray) -> list[float]:
    return [detector.inspect(image).score for image in images]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder that ssim-ae train wrote")
    options = parser.parse_args()
    columns = ("run, image size", "fill", *(f"{100 * diameter:g} %" for diameter in DIAMETERS))
    print(table(columns, [row for run in options.runs for row in rows(run)]))


if __name__ == "__main__":
    main()
