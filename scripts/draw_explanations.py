"""Draw the pictures of the explanation pages from built-in parts: python scripts/draw_explanations.py.

They are docs/images/anomaly_map.png (a training of seconds) and docs/images/damage.png, which needs PyTorch.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ssim_ae import Config, Detector, train
from ssim_ae.augmentation.corruption import Fill, ShapeKind, draw_corruption
from ssim_ae.augmentation.torch_corruption import apply_corruption
from ssim_ae.images.colors import outlined
from ssim_ae.synthetic import fabric

IMAGES = Path(__file__).parents[1] / "docs" / "images"
GAP = 6  # px between panels, transparent
PATCH = 160  # px, side of a damaged patch
FILLS = ("PIECE", "SHIFTED", "COLOR", "SMOOTH_NOISE", "TINT", "BLUR")
CENTER, SIZE = (0.55, 0.4), 0.2  # of the damaged area, in sides of the patch
SEED = 7  # damage that is easy to see


def main() -> None:
    """Write both pictures."""
    with TemporaryDirectory() as folder:
        (data,) = fabric.make(Path(folder), classes=["badge"], train=40, good=1, defective=1)
        panels(anomaly_map(data, Path(folder))).save(IMAGES / "anomaly_map.png", optimize=True)
        good = [np.asarray(Image.open(path)) for path in sorted((data / "train" / "good").glob("*.png"))[:12]]
        panels(damage(good)).save(IMAGES / "damage.png", optimize=True)


def anomaly_map(data: Path, folder: Path) -> list[NDArray[np.uint8]]:
    """Return an image with a defect, its distances, its heatmap, and the outline of its mask."""
    run = train(Config(dataset_path=str(data), drawn_defects=0), runs=folder / "runs")
    (path,) = (data / "test" / "cut").glob("*.png")
    inspection = Detector.load(run.folder).inspect(path)
    distances = np.clip(inspection.anomaly_map / inspection.score, 0, 1)
    gray = np.repeat((255 * distances).astype(np.uint8)[..., None], 3, axis=2)
    return [inspection.image, gray, inspection.heatmap, outlined(inspection.image, inspection.mask, width=2)]


def damage(good: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Return a good patch with each kind of fill."""
    patches = [np.asarray(Image.fromarray(image).resize((PATCH, PATCH))) for image in good]
    batch = torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float() / 255
    corruption = draw_corruption(len(FILLS), len(FILLS), np.random.default_rng(SEED))
    corruption.fill[:] = [Fill[name] for name in FILLS]
    corruption.kind[:] = [ShapeKind.POLYGON, ShapeKind.NONE, ShapeKind.NONE]
    corruption.center[:, 0], corruption.size[:, 0] = CENTER, SIZE
    corruption.opacity[:], corruption.noise_std[:] = 1, 0
    corrupted = apply_corruption(batch[: len(FILLS)], batch[len(FILLS) :], corruption)
    return list((255 * corrupted).round().byte().permute(0, 2, 3, 1).numpy())


def panels(images: list[NDArray[np.uint8]]) -> Image.Image:
    """Return images of one size side by side, on a transparent ground."""
    height, width = images[0].shape[:2]
    picture = Image.new("RGBA", (len(images) * (width + GAP) - GAP, height))
    for index, image in enumerate(images):
        picture.paste(Image.fromarray(image), (index * (width + GAP), 0))
    return picture.quantize(256, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
