"""How small and faint damage may be and still be found: python bench/damage.py RUN...

Onto the good images a run held out, at their own size, ellipses are drawn: of a size told in per cent of the image's
side, at one place each, at 60 % opacity, filled as in training. Told are the per cent of them called defective and, in
brackets, the AUROC against the same images undamaged. No defective image is opened. The thresholds come from the same
held-out images. Runs with one seed and one data set are asked about the same damage.
"""

import sys
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

SIZES = (0.01, 0.02, 0.04, 0.08, 0.16)  # diameters, in sides of the image
FILLS = {
    "a piece of another image": Fill.PIECE,
    "a colour": Fill.COLOR,
    "clouds": Fill.SMOOTH_NOISE,
    "a tint": Fill.TINT,
    "a blur": Fill.BLUR,
}
OPACITY, SOFTNESS = 0.6, 0.002


def held_out(detector: Detector) -> np.ndarray:
    """Return the good images that it has not learned from, (N, H, W, C) uint8."""
    learned = set(detector.provenance["trained_images"])
    good = find_dataset(Path(detector.config.dataset_path)).good
    gray = detector.config.grayscale
    return np.stack([read_image(path, grayscale=gray) for path in good if content_hash(path) not in learned])


def spots(images: int, size: float, fill: int) -> Corruption:
    """Return an ellipse for each image, the same ones in every run."""
    drawn = draw_corruption(images, images, np.random.default_rng(round(1000 * size)))
    kind = np.full_like(drawn.kind, ShapeKind.NONE)
    kind[:, 0] = ShapeKind.ELLIPSE
    return replace(
        drawn,
        kind=kind,
        center=0.25 + drawn.center / 2,
        size=np.full_like(drawn.size, size / 2),
        aspect=drawn.aspect.clip(0.5, 2),
        softness=np.full_like(drawn.softness, SOFTNESS),
        fill=np.full(images, fill),
        opacity=np.full(images, OPACITY),
        noise_std=np.zeros(images),
    )


def damaged(images: np.ndarray, damage: Corruption) -> np.ndarray:
    """(N, H, W, C) uint8 -> the same damaged."""
    patches = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    changed = apply_corruption(patches, patches[torch.from_numpy(damage.piece_image)], damage)
    return (changed * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def rows(run: str) -> Iterator[list[str]]:
    """Yield what is found of each fill, size by size."""
    detector = Detector.load(run)
    images = held_out(detector)
    good = [detector.inspect(image).score for image in images]
    for label, fill in FILLS.items():
        cells = []
        for size in SIZES:
            scores = [detector.inspect(image).score for image in damaged(images, spots(len(images), size, fill))]
            found = 100 * np.mean(np.array(scores) > 1)
            area = auroc([*good, *scores], [0] * len(good) + [1] * len(scores))
            cells.append(f"{found:.0f} ({area:.3f})")
        yield [f"{Path(run).name}, {detector.view.size} px", label, *cells]


def main(runs: list[str]) -> None:
    """Print a Markdown table."""
    columns = ("run, image size", "filled with", *(f"{100 * size:g} %" for size in SIZES))
    print(table(columns, [row for run in runs for row in rows(run)]))


if __name__ == "__main__":
    main(sys.argv[1:])
