"""Simulate months of a line on real images, quiet ones and ones with a change: when is it noticed, with which cause?

    python bench/drift.py OUTPUT DATA_SET...

A data set is a folder in MVTec AD's layout. A detector of the method `features` is fitted to its training images. The
line is simulated by resampling test images. The table is printed as Markdown.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from ssim_ae import Config, Detector, train
from ssim_ae.detector.look import Look, UsualImages
from ssim_ae.images.files import read_image
from ssim_ae.line.drift_detection import HOUR, LIMIT, DriftTest

MAX_DEFECTIVE = 24  # test images
MONTHS = 30
HOURS = 16  # of work in a day
PER_HOUR = 12  # images
DEFECTS = 0.02  # share of defective images before a change
TRIALS = 20
STARTS = (50, 1000)  # images before a change
MAX_DELAY = 1500  # images
CAUSES = {
    "turned 3 degrees": "camera",
    "moved 2 %": "camera",
    "dimmed 10 %": "light",
    "dirty lens": "lens",
    "10 % more defects": "parts",
}


class Row(NamedTuple):
    """An inspection, as in the log."""

    id: int
    time: int
    verdict: str
    score: float
    brightness: float
    contrast: float
    sharpness: float
    shift_x: float
    shift_y: float
    turn: float


def changed(image: Image.Image, condition: str) -> Image.Image:
    fill = tuple(int(value) for value in np.median(np.asarray(image)[:5].reshape(-1, 3), axis=0))
    if condition == "turned 3 degrees":
        return image.rotate(3, Image.Resampling.BICUBIC, fillcolor=fill)
    if condition == "moved 2 %":
        shift = round(0.02 * image.width)
        return image.transform(image.size, Image.Transform.AFFINE, (1, 0, -shift, 0, 1, 0), fillcolor=fill)
    if condition == "dimmed 10 %":
        return image.point(lambda value: 0.9 * value)
    if condition == "dirty lens":
        blurred = image.filter(ImageFilter.GaussianBlur(image.width / 900))
        return Image.blend(blurred, Image.new("RGB", image.size, (170, 170, 170)), 0.08)
    return image


def measured(detector: Detector, folder: Path) -> dict[str, dict[str, list[list[float]]]]:
    """Return score and look of each test image, by condition, of good and of defective ones."""
    good = sorted((folder / "test" / "good").glob("*.png"))
    defective = sorted(path for path in (folder / "test").glob("*/*.png") if path.parent.name != "good")
    chosen = [defective[index] for index in np.linspace(0, len(defective) - 1, MAX_DEFECTIVE).astype(int)]
    found: dict[str, dict[str, list[list[float]]]] = {}
    usual = detector.usual
    assert usual
    for condition in ("none", *list(CAUSES)[:-1]):
        of = found.setdefault(condition, {"good": [], "defective": []})
        for kind, paths in (("good", good), ("defective", chosen if condition == "none" else [])):
            for path in paths:
                pixels = np.asarray(changed(Image.fromarray(read_image(path)), condition))
                of[kind].append([detector.inspect(pixels).score, *usual.look(pixels)])
        print(folder.name, condition, len(of["good"]), flush=True)
    return found


class Line:
    """A line that draws its images at random."""

    def __init__(self, pools: dict[str, dict[str, list[list[float]]]], seed: int) -> None:
        self.pools = {name: {kind: np.array(rows) for kind, rows in of.items()} for name, of in pools.items()}
        self.rng = np.random.default_rng(seed)
        self.number = 0

    def image(self, condition: str = "none") -> Row:
        self.number += 1
        more = condition == "10 % more defects"
        pool = "none" if more else condition
        is_defective = self.rng.random() < DEFECTS + 0.1 * more
        rows = self.pools["none"]["defective"] if is_defective else self.pools[pool]["good"]
        score, *look = rows[self.rng.integers(len(rows))].tolist()
        day, within = divmod(self.number, HOURS * PER_HOUR)
        time = (24 * day + within // PER_HOUR) * HOUR
        return Row(self.number, time, "nok" if score > 1 else "ok", score, *look)


def drawn_usual(line: Line, like: UsualImages) -> UsualImages:
    """Return good images from the same pool as the line's, as many as those of the detector."""
    pool = line.pools["none"]["good"]
    scores = pool[line.rng.integers(len(pool), size=len(like.scores))][:, 0].tolist()
    looks = [tuple(row[1:]) for row in pool[line.rng.integers(len(pool), size=len(like.looks))].tolist()]
    return like.model_copy(update={"scores": scores, "looks": looks})


def quiet_alarms(line: Line, usual: UsualImages, *, is_drawn: bool) -> Counter[str]:
    """Return the causes of alarms in some months. The test restarts after an alarm, and each month if `is_drawn`."""
    alarms: Counter[str] = Counter()
    test = DriftTest(usual)
    for _ in range(MONTHS):
        if is_drawn:
            test = DriftTest(drawn_usual(line, usual))
        for _ in range(30 * HOURS * PER_HOUR):
            if drift := test.add(line.image()):
                alarms[drift.cause] += 1
                test = DriftTest(None)
    return alarms


def delays(line: Line, usual: UsualImages, condition: str, start: int) -> tuple[list[int], Counter[str]]:
    """Return the images from a change to the alarm, the causes that were named, of those noticed."""
    found: list[int] = []
    causes: Counter[str] = Counter()
    for _ in range(TRIALS):
        test = DriftTest(drawn_usual(line, usual))
        for _ in range(start):
            if test.add(line.image()):
                test = DriftTest(drawn_usual(line, usual))
        for delay in range(1, MAX_DELAY + 1):
            if drift := test.add(line.image(condition)):
                found.append(delay)
                causes[drift.cause] += 1
                break
    return found, causes


def main(output: Path, folders: list[Path]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        run = output / f"{folder.name}-1"
        if not run.exists():
            settings: dict[str, Any] = {"dataset_path": str(folder), "dataset": folder.name, "drawn_defects": 0}
            train(Config(method="features", **settings), runs=output)
        detector = Detector.load(run)
        pools_file = output / f"{folder.name}.json"
        if not pools_file.exists():
            pools_file.write_text(json.dumps(measured(detector, folder)))
        line, usual = Line(json.loads(pools_file.read_text()), 1), detector.usual
        assert usual and len(line.pools["none"]["good"][0]) == 1 + len(Look._fields)
        for name, is_drawn in (("good images of the detector", False), ("good images of the line", True)):
            alarms = quiet_alarms(line, usual, is_drawn=is_drawn)
            months = f"{folder.name}: {MONTHS} quiet months, compared with {name}"
            print(f"{months}: {dict(alarms) or 'no'} alarms (limit {LIMIT:g} h)", flush=True)
        print("| | after | noticed | images until then, median (5-95 %) | cause named |\n|---|---|---|---|---|")
        for condition, cause in CAUSES.items():
            for start in STARTS:
                found, causes = delays(line, usual, condition, start)
                low, middle, high = np.percentile(found, (5, 50, 95)).astype(int) if found else (0, 0, 0)
                named = ", ".join(f"{name} {count}" for name, count in causes.most_common())
                right = 100 * causes[cause] / max(1, len(found))
                when = f"{len(found)} of {TRIALS} | {middle} ({low}-{high})"
                print(f"| {folder.name}, {condition} | {start} | {when} | {named} ({right:.0f} % right) |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
