"""Draw parts as bad cameras and loose fixtures show them: python bench/conditions.py FOLDER

Writes a badge and a cloth in MVTec AD's layout, as drawn and in conditions that make training hard. What is learned of
them is told by `python bench/accuracy.py FOLDER --work DIR --methods repair`.
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


def turned(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, ...) uint8 -> the same turned by any angle, its edges drawn out."""
    margin = len(picture) // 4
    wide = np.pad(picture, [(margin, margin)] * 2 + [(0, 0)] * (picture.ndim - 2), "edge")
    whole = Image.fromarray(wide).rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR)
    return np.asarray(whole)[margin:-margin, margin:-margin]


def shifted(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same up to an eighth of its side away, mirrored beyond its edges."""
    margin = len(picture) // 8
    wide = np.pad(picture, [(margin, margin)] * 2 + [(0, 0)] * (picture.ndim - 2), "reflect")
    top, left = rng.integers(2 * margin + 1, size=2)
    return wide[top : top + len(picture), left : left + len(picture)]


def lit(gain: float, offset: float, spread: float, noise: float) -> Change:
    """Return what gives pictures `gain` (each up to `spread` of it otherwise), an offset and noise, in gray levels."""

    def change(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        light = gain * rng.uniform(1 - spread, 1 + spread) * picture + offset
        return np.rint(light + noise * rng.standard_normal(picture.shape)).clip(0, 255).astype(np.uint8)

    return change


def out_of_focus(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same blurred, by 2 to 4 px."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(rng.uniform(2, 4))))


# What is done to a picture, and whether its mask moves with it.
CONDITIONS: dict[str, tuple[Change, bool]] = {
    "as drawn": (lambda picture, rng: picture, False),
    "turned": (turned, True),
    "shifted": (shifted, True),
    "dark": (lit(0.12, 0, 0.1, 1), False),
    "bright": (lit(0.3, 175, 0.1, 1), False),
    "unsteady light": (lit(0.7, 0, 0.4, 1), False),
    "noisy": (lit(1, 0, 0, 25), False),
    "out of focus": (out_of_focus, False),
}


def main() -> None:
    """Write every class in every condition."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the classes are written")
    parser.add_argument("--train", type=int, default=100, help="good pictures to learn from (100)")
    parser.add_argument("--size", type=int, default=256, help="of the pictures, px (256)")
    options = parser.parse_args()
    with TemporaryDirectory() as drawings:
        for drawn in fabric.make(Path(drawings), classes=CLASSES, train=options.train, size=options.size):
            for condition, (change, moves) in CONDITIONS.items():
                for path in drawn.rglob("*.png"):
                    place = path.relative_to(drawn)
                    picture = np.asarray(Image.open(path))
                    if place.parts[0] != "ground_truth" or moves:
                        picture = change(picture, random_numbers(place))
                    target = options.folder / f"{drawn.name}, {condition}" / place
                    target.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(picture).save(target)


def random_numbers(place: Path) -> np.random.Generator:
    """Return those of a picture, train/good/000.png, or of a picture and its mask."""
    split = int(place.parts[0] == "train")
    return np.random.default_rng([split, *place.parts[1].encode(), int(place.stem[:3])])


if __name__ == "__main__":
    main()
