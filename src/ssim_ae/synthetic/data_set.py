"""What the built-in data sets share: named classes, each drawn by a function, written in MVTec AD's layout.

<folder>/<class>/train/good/000.png ...
<folder>/<class>/test/good/000.png ...
<folder>/<class>/test/<defect>/000.png ...
<folder>/<class>/ground_truth/<defect>/000_mask.png ...
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from ssim_ae.console import ProgressBar, progress
from ssim_ae.storage import scratch_folder
from ssim_ae.synthetic.streams import Seed

# Each folder of a class has its own number in the seeds. The defects are numbered from FIRST_DEFECT_FOLDER.
TRAIN_FOLDER = 0
TEST_GOOD_FOLDER = 1
FIRST_DEFECT_FOLDER = 2


class DrawImage(Protocol):
    """Draws one image of a class and the mask of its defect."""

    def __call__(
        self, *, seed: Seed, size: int, defect: str | None = None, difficulty: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw one image.

        Args:
            seed: Equal seeds draw equal images.
            size: Width, px.
            defect: One of the data set's defects, or None for a good image.
            difficulty: From 0, a large and obvious defect, to 1, a small and faint one.

        Returns the image (H, W) or (H, W, 3) uint8, and the mask of its defect (H, W) bool.

        Raises:
            ValueError: The defect is unknown.
        """
        ...


@dataclass(frozen=True)
class DataSet:
    """A built-in data set. The order of its classes and defects is part of the random seeds."""

    classes: Mapping[str, DrawImage]
    defects: tuple[str, ...]
    size: int  # px; default width of the images
    min_size: int  # px
    max_size: int  # px; limits the memory
    train: int = 100  # default number of training images

    def make(
        self,
        folder: Path,
        *,
        classes: Sequence[str] | None = None,
        train: int | None = None,
        good: int = 20,
        defective: int = 5,
        size: int | None = None,
        seed: int = 0,
    ) -> list[Path]:
        """Write the data set and return the folders of its classes.

        Args:
            folder: Parent of the class folders; it is created if needed.
            classes: A selection of the classes; None for all.
            train: Number of training images per class; None for that of the data set.
            good: Number of good test images per class.
            defective: Number of test images per class and defect, from the largest defect to the faintest.
            size: Width of the images, px; None for that of the data set.
            seed: Equal seeds write equal images.

        Raises:
            FileExistsError: A class folder exists. Nothing is written.
            ValueError: A class is unknown. Nothing is written.
        """
        names = list(classes or self.classes)
        train = self.train if train is None else train
        targets = [Path(folder) / name for name in names]
        for name, target in zip(names, targets, strict=True):
            check_name("class", name, self.classes)
            if target.exists():
                raise FileExistsError(f"{target}: exists already; remove it, or name another folder")
        Path(folder).mkdir(parents=True, exist_ok=True)
        images = len(names) * (train + good + len(self.defects) * defective)
        with progress("drawing images", images) as bar:
            for name, target in zip(names, targets, strict=True):
                key = [seed, list(self.classes).index(name)]
                writer = _ClassWriter(self.classes[name], key, size or self.size, bar)
                # A class gets its final name when it is complete, so that an interruption leaves no partial class.
                with scratch_folder(Path(folder)) as scratch:
                    root = scratch / name
                    writer.write_good(root / "train" / "good", TRAIN_FOLDER, train)
                    writer.write_good(root / "test" / "good", TEST_GOOD_FOLDER, good)
                    for number, defect in enumerate(self.defects, start=FIRST_DEFECT_FOLDER):
                        writer.write_defective(root, number, defect, defective)
                    root.rename(target)
        return targets


@dataclass(frozen=True)
class _ClassWriter:
    """Writes the images of a class."""

    draw: DrawImage
    key: list[int]
    size: int
    bar: ProgressBar

    def write_good(self, folder: Path, number: int, count: int) -> None:
        """Write `count` good images."""
        folder.mkdir(parents=True)
        for index in range(count):
            image, _ = self.draw(seed=[*self.key, number, index], size=self.size)
            Image.fromarray(image).save(folder / f"{index:03}.png")
            self.bar.advance()

    def write_defective(self, root: Path, number: int, defect: str, count: int) -> None:
        """Write `count` images with one defect, in the order of difficulty, and their masks."""
        images, masks = root / "test" / defect, root / "ground_truth" / defect
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for index, difficulty in enumerate(np.linspace(0, 1, count)):
            seed = [*self.key, number, index]
            image, mask = self.draw(seed=seed, size=self.size, defect=defect, difficulty=float(difficulty))
            Image.fromarray(image).save(images / f"{index:03}.png")
            Image.fromarray(np.uint8(255) * mask).save(masks / f"{index:03}_mask.png")
            self.bar.advance()


def check_name(kind: str, name: str, known: Mapping[str, object] | Sequence[str]) -> None:
    """Raise ValueError if `name`, of a class or a defect, is not known."""
    if name not in known:
        raise ValueError(f"unknown {kind} {name!r}; choose from {', '.join(known)}")
