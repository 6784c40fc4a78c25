"""Measure how the work grows with its size: python bench/scaling.py --output scaling.md

Every point is measured in a process of its own, for its peak memory. Takes ten minutes on two cores.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from measure import Timing, figure, timing
from peers.case import Case
from report import document, table
from ssim_ae import Detector
from ssim_ae.detector.predictions import predict
from ssim_ae.maps.tiles import tile_starts
from workload import config_of, copies, drawn_cloth, engine_of, recorded_rate, step_of, untrained_detector

HOW = "The median of several repeats after a warm-up, in brackets the least and the most. Peak memory is the process's."
MEBIBYTE = 2**20
STRIDE = 32  # px from tile to tile


class Plan(NamedTuple):
    """How much is measured. Patches are gray."""

    case: Case
    patch_sizes: tuple[int, ...]
    step_pixels: int  # in a step of any patch size
    batches: tuple[int, ...]
    image_sizes: tuple[int, ...]
    image_counts: tuple[int, ...]
    repeats: int
    epoch_steps: int  # of the training in several processes


FULL = Plan(
    case=Case(crop_size=128, channels=1, z_dim=100, flc=32, batch=128, im_resize=256),
    patch_sizes=(32, 64, 128, 256, 512),
    step_pixels=128**3,
    batches=(8, 16, 32, 64, 128, 256),
    image_sizes=(128, 160, 192, 256, 384, 512),
    image_counts=(1, 10, 100, 300),
    repeats=5,
    epoch_steps=20,
)
TOY = Plan(
    case=Case(crop_size=32, channels=1, z_dim=8, flc=4, batch=2, im_resize=64),
    patch_sizes=(32, 64),
    step_pixels=2 * 64**2,
    batches=(2, 4),
    image_sizes=(32, 64),
    image_counts=(1, 3),
    repeats=2,
    epoch_steps=3,
)


class Point(NamedTuple):
    """One measurement: the repeats of its work, and the most memory that its process has held, MiB."""

    work: Timing
    memory: float


def tables(plan: Plan) -> Iterator[str]:
    """Yield each table with its heading, as soon as it is measured."""
    yield titled("Patch size, with as many pixels in every step", patch_sizes(plan))
    yield titled(f"Batch, {plan.case.network_name}", batches(plan))
    yield titled(f"Tiles of one image, {plan.case.network_name}", tile_counts(plan))
    yield titled(f"Images, {plan.case.im_resize} px, {plan.case.network_name}", image_counts(plan))
    yield titled(f"Processes of one training, {plan.case.name}", processes(plan))


def titled(title: str, body: str) -> str:
    """Return a section of the file."""
    return f"## {title}\n\n{body}"


def patch_sizes(plan: Plan) -> str:
    """Return the speed of a training step against the size of its patches."""
    rows = []
    for size in plan.patch_sizes:
        batch = plan.step_pixels // size**2
        point = measured("step", plan.case._replace(crop_size=size, im_resize=2 * size, batch=batch), plan.repeats)
        megapixels = plan.step_pixels / point.work.median / 1e6
        rows.append([f"{size} px", str(batch), point.work.rate(batch, "patches"), figure(megapixels), memory(point)])
    return table(["patch", "batch", "training", "Mpx/s", "peak memory"], rows)


def batches(plan: Plan) -> str:
    """Return the speed of a training step against its batch."""
    rows = []
    for batch in plan.batches:
        point = measured("step", plan.case._replace(batch=batch), plan.repeats)
        rows.append([str(batch), point.work.rate(batch, "patches"), memory(point)])
    return table(["batch", "training", "peak memory"], rows)


def tile_counts(plan: Plan) -> str:
    """Return the time of an inspection against the number of tiles that an image is cut into."""
    rows = []
    for size in plan.image_sizes:
        tiles = len(tile_starts(size, plan.case.crop_size, STRIDE)) ** 2
        point = measured("inspection", plan.case._replace(im_resize=size), 3 * plan.repeats)
        per_tile = f"{1000 * point.work.median / tiles:.3g} ms"
        rows.append([f"{size} px", str(tiles), point.work.duration(), per_tile, memory(point)])
    return table(["image", "tiles", "inspection", "a tile", "peak memory"], rows)


def image_counts(plan: Plan) -> str:
    """Return the time of `predict` against the number of files."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        originals = sorted((drawn_cloth(Path(scratch), count=4, size=2 * plan.case.im_resize) / "train/good").iterdir())
        for count in plan.image_counts:
            folder = Path(scratch) / str(count)
            copies(originals, folder, count)
            point = measured("prediction", plan.case, 2, str(folder))
            rows.append([str(count), point.work.duration(), point.work.rate(count, "images"), memory(point)])
    return table(["images", "predict", "", "peak memory"], rows)


def processes(plan: Plan) -> str:
    """Return the speed of a whole training against the number of processes that share its batches."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        cloth = drawn_cloth(Path(scratch), count=20, size=plan.case.im_resize)
        for workers in (1, 2):
            runs = Path(scratch) / str(workers)
            launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"] if workers > 1 else []
            command = [sys.executable, *launch, "-m", "ssim_ae", "train", str(cloth), "--runs", str(runs)]
            subprocess.run([*command, *training_options(plan)], check=True, stdout=subprocess.DEVNULL)
            rows.append([str(workers), f"{figure(recorded_rate(next(runs.iterdir())))} patches/s"])
    return table(["processes", "training"], rows)


def training_options(plan: Plan) -> list[str]:
    """Return what `ssim-ae train` is told of the network and the length of the training."""
    config = config_of(plan.case, epochs=3, augment_num=plan.epoch_steps * plan.case.batch, run_eval=False)
    given = config.model_dump(include=config.model_fields_set)
    return [f"--{key}={value}" for key, value in given.items()]


def memory(point: Point) -> str:
    """Return a point's peak memory, for a person."""
    return f"{point.memory:,.0f} MiB"


def measured(kind: str, case: Case, repeats: int, *arguments: str) -> Point:
    """Measure a point in a process of its own."""
    print(f"{kind}: {case.name}, images of {case.im_resize} px", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--point", kind, str(case), str(repeats), *arguments]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return Point(Timing.of(told["seconds"]), told["memory"])


def tell_point(kind: str, case: str, repeats: str, *arguments: str) -> None:
    """Measure a point in this process, and print it."""
    work = WORKS[kind](Case.read(case), *arguments)
    seconds = timing(work, int(repeats)).seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"seconds": seconds, "memory": peak / MEBIBYTE}))


def step(case: Case) -> Callable[[], Any]:
    """Return the work of a training step."""
    config = config_of(case)
    return step_of(engine_of(config), config)


def inspection(case: Case) -> Callable[[], Any]:
    """Return the work of inspecting an image of noise."""
    detector = loaded(case)
    image = np.random.default_rng(0).integers(0, 256, (case.im_resize, case.im_resize, 1), np.uint8)
    return lambda: detector.inspect(image)


def prediction(case: Case, folder: str) -> Callable[[], Any]:
    """Return the work of predicting the images in a folder."""
    detector, paths = loaded(case), sorted(Path(folder).iterdir())
    return lambda: list(predict(detector, paths))


def loaded(case: Case) -> Detector:
    """Return an untrained detector, read from its file."""
    with tempfile.TemporaryDirectory() as scratch:
        config = config_of(case, stride=STRIDE)
        return Detector.load(untrained_detector(config, Path(scratch) / "detector.safetensors"), device_target="CPU")


WORKS = {work.__name__: work for work in (step, inspection, prediction)}


def main(arguments: Sequence[str]) -> None:
    """Measure, print the tables, and write them."""
    if arguments[:1] == ["--point"]:
        tell_point(*arguments[1:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="tiny sizes: does it run? The numbers mean nothing")
    parser.add_argument("--output", metavar="FILE", help="write the tables as Markdown")
    options = parser.parse_args(arguments)
    sections = []
    for section in tables(TOY if options.toy else FULL):
        print(f"{section}\n", flush=True)
        sections.append(section)
    if options.output:
        Path(options.output).write_text(document("Scaling", HOW, "\n\n".join(sections)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
