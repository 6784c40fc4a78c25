"""What reviews bring: python bench/reviews.py CLASS [CLASS ...] [--output FILE]

CLASS is a folder in MVTec AD's layout. Its test images are halved. The false alarms of a detector (method features) on
the good images of the first half are confirmed as good; then the good and defective images of the second half are
inspected by the detector, by a candidate with raised thresholds, and by one that has learned the confirmed images. This
is done as it is; with only 20 training images; and with all test images moved by 2 % and turned by 2 degrees, as if the
camera had moved after the training.
"""

import argparse
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from report import document, table
from ssim_ae import Config, Detector, train
from ssim_ae.detector.run_folder import detector_path
from ssim_ae.errors import InputError
from ssim_ae.images.files import read_image, write_png
from ssim_ae.line.candidate import adopt, propose
from ssim_ae.line.reviews import ReviewedImage

FEW = 20  # training images
TURN, SHIFT = 2, 0.02  # degrees and share of the width that test images are moved by
CONDITIONS = ("as they are", f"{FEW} training images", f"moved by {SHIFT:.0%}, turned by {TURN}°")
COLUMNS = ("class", "condition", "reviewed", "detector", "false alarms", "defects found")
METHOD = "Method features at its defaults, expected false alarms of 1 %. Rates are those of the second half."


class Half(NamedTuple):
    """Good and defective test images."""

    good: list[Path]
    defective: list[Path]


def halves(folder: Path, scratch: Path, *, moved: bool) -> tuple[Half, Half]:
    """Return the two halves of the test images of a class, as files in `scratch`."""
    found: dict[bool, list[Path]] = {True: [], False: []}
    for path in sorted((folder / "test").glob("*/*.png")):
        image = Image.fromarray(read_image(path))
        if moved:
            fill = tuple(int(value) for value in np.asarray(image)[0, 0])
            shift = (round(SHIFT * image.width), 0)
            image = image.rotate(TURN, Image.Resampling.BICUBIC, translate=shift, fillcolor=fill)
        copy = scratch / f"{path.parent.name}-{path.name}"
        write_png(copy, np.asarray(image))
        found[path.parent.name == "good"].append(copy)
    first, second = ([found[is_good][start::2] for is_good in (True, False)] for start in (0, 1))
    return Half(*first), Half(*second)


def rejected(detector: Detector, images: Sequence[Path]) -> list[Path]:
    """Return the images that a detector rejects."""
    return [path for path in images if detector.inspect(path).verdict == "nok"]


def rates(detector: Detector, half: Half) -> tuple[str, str]:
    """Return the false alarms and the defects that are found, as text."""
    alarms, defects = (len(rejected(detector, images)) for images in half)
    return f"{alarms} of {len(half.good)}", f"{defects} of {len(half.defective)}"


def rows(folder: Path) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a class."""
    with tempfile.TemporaryDirectory() as scratch:
        few = Path(scratch) / folder.name
        few.mkdir()
        for path in sorted((folder / "train" / "good").iterdir())[:FEW]:
            shutil.copyfile(path, few / path.name)
        for name in CONDITIONS:
            images = Path(scratch) / name.replace("%", "")
            images.mkdir()
            first, second = halves(folder, images, moved=name == CONDITIONS[2])
            data_set = few if name == CONDITIONS[1] else folder
            settings: dict[str, Any] = {"dataset_path": str(data_set), "drawn_defects": 0, "run_eval": False}
            for learn in (False, True):
                run = train(Config(method="features", **settings), runs=Path(scratch) / "runs").folder
                detector = Detector.load(run)
                alarms = rejected(detector, first.good)
                shown = (folder.name, name, f"{len(alarms)} of {len(first.good)} good")
                if not learn:
                    yield *shown, "as trained", *rates(detector, second)
                if not alarms:
                    continue
                reviewed = [
                    ReviewedImage(path, path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "good")
                    for path in alarms
                ]
                label = "learned" if learn else "thresholds raised"
                try:
                    propose(run, reviewed, learn=learn)
                except InputError as error:
                    yield *shown, label, str(error), ""
                    continue
                adopt(run)
                yield *shown, label, *rates(Detector.load(detector_path(run)), second)


def main() -> None:
    """Print the table; write it as Markdown with --output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="CLASS")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table as Markdown")
    options = parser.parse_args()
    result = table(COLUMNS, [row for folder in options.folders for row in rows(folder)])
    print(result)
    if options.output:
        options.output.write_text(document("What reviews bring", METHOD, result), encoding="utf-8")


if __name__ == "__main__":
    main()
