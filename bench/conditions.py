"""Write synthetic images under difficult imaging conditions: python bench/conditions.py FOLDER

Writes the classes `badge` and `twill` of the built-in data set in MVTec AD's layout, as they are and under conditions
that make training difficult. `python bench/accuracy.py FOLDER --work DIR --methods repair` trains on them.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageFilter

from ssim_ae.synthetic import fabric

CLASSES = ("badge", "twill")
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def original(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the image itself."""
    return image


def rotated(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate an image (H, W, ...) uint8 by a random angle; its edge pixels are repeated outwards."""
    margin = len(image) // 4
    padded = np.pad(image, [(margin, margin)] * 2 + [(0, 0)] * (image.ndim - 2), "edge")
    whole = Image.fromarray(padded).rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR)
    return np.asarray(whole)[margin:-margin, margin:-margin]


def shifted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift an image by up to an eighth of its side; it is reflected at its edges."""
    margin = len(image) // 8
    padded = np.pad(image, [(margin, margin)] * 2 + [(0, 0)] * (image.ndim - 2), "reflect")
    top, left = rng.integers(2 * margin + 1, size=2)
    return padded[top : top + len(image), left : left + len(image)]


def illuminated(gain: float, offset: float, gain_range: float, noise: float) -> Change:
    """Return a change of brightness: a gain, an offset and the standard deviation of noise, both in gray levels.

    The gain of each image is random, with a relative difference from `gain` of up to `gain_range`.
    """

    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        brightness = gain * rng.uniform(1 - gain_range, 1 + gain_range) * image + offset
        return np.rint(brightness + noise * rng.standard_normal(image.shape)).clip(0, 255).astype(np.uint8)

    return change


def out_of_focus(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur an image with a Gaussian whose standard deviation is 2 to 4 px."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(rng.uniform(2, 4))))


# The change of an image, and whether it applies to the mask as well.
CONDITIONS: dict[str, tuple[Change, bool]] = {
    "original": (original, False),
    "rotated": (rotated, True),
    "shifted": (shifted, True),
    "dark": (illuminated(0.12, 0, 0.1, 1), False),
    "bright": (illuminated(0.3, 175, 0.1, 1), False),
    "varying brightness": (illuminated(0.7, 0, 0.4, 1), False),
    "noisy": (illuminated(1, 0, 0, 25), False),
    "out of focus": (out_of_focus, False),
}


def main() -> None:
    """Write each class under each condition."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="parent of the folders of the classes")
    parser.add_argument("--train", type=int, default=100, help="number of training images (100)")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images, px (256)")
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        for root in fabric.make(Path(scratch), classes=CLASSES, train=options.train, size=options.size):
            for condition, (change, changes_mask) in CONDITIONS.items():
                for source in root.rglob("*.png"):
                    path = source.relative_to(root)
                    image = np.asarray(Image.open(source))
                    if path.parts[0] != "ground_truth" or changes_mask:
                        image = change(image, random_generator(path))
                    target = options.folder / f"{root.name}, {condition}" / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(image).save(target)


def random_generator(path: Path) -> np.random.Generator:
    """Return the generator of an image, for example train/good/000.png. An image and its mask get equal generators."""
    split = int(path.parts[0] == "train")
    return np.random.default_rng([split, *path.parts[1].encode(), int(path.stem[:3])])


if __name__ == "__main__":
    main()
