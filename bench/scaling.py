"""Measure how time and memory grow with the workload: python bench/scaling.py --output scaling.md

Each point is measured in a separate process, so that its peak memory can be measured. Takes ten minutes on two cores.
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

from measure import Timing, three_digits, timing
from peers.case import Case
from report import document, table
from ssim_ae import Detector
from ssim_ae.detector.predictions import predict
from ssim_ae.maps.tiles import tile_starts
from workload import (
    config_of,
    copy_images,
    engine_of,
    fabric_data_set,
    good_fabric_images,
    recorded_rate,
    step_of,
    untrained_detector,
)

METHOD = """Values are medians of several repeats after a warm-up, with minimum and maximum in brackets. Peak memory is
that of the process."""
MIB = 2**20  # bytes
STRIDE = 32  # px between neighboring tiles


class Plan(NamedTuple):
    """Workloads and numbers of repeats. Patches are gray."""

    case: Case
    patch_sizes: tuple[int, ...]
    step_pixels: int  # pixels of a training step at every patch size
    batches: tuple[int, ...]
    image_sizes: tuple[int, ...]
    image_counts: tuple[int, ...]
    repeats: int
    epoch_steps: int  # steps per epoch of the training in several processes


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
    """One measurement: the timing of its function, and the peak memory of its process in MiB."""

    timing: Timing
    memory: float


def tables(plan: Plan) -> Iterator[str]:
    """Yield each table with its heading as soon as it is measured."""
    yield section("Patch size, at a constant number of pixels per step", patch_sizes(plan))
    yield section(f"Batch size, {plan.case.network_name}", batches(plan))
    yield section(f"Tiles of one image, {plan.case.network_name}", tile_counts(plan))
    yield section(f"Number of images, {plan.case.im_resize} px, {plan.case.network_name}", image_counts(plan))
    yield section(f"Processes of one training, {plan.case.name}", processes(plan))


def section(title: str, body: str) -> str:
    """Return a section of the Markdown file."""
    return f"## {title}\n\n{body}"


def patch_sizes(plan: Plan) -> str:
    """Return a table of training speed by patch size."""
    rows = []
    for size in plan.patch_sizes:
        batch = plan.step_pixels // size**2
        point = measure("step", plan.case._replace(crop_size=size, im_resize=2 * size, batch=batch), plan.repeats)
        megapixels = plan.step_pixels / point.timing.median / 1e6
        rate = point.timing.rate(batch, "patches")
        rows.append([f"{size} px", str(batch), rate, three_digits(megapixels), memory_cell(point)])
    return table(["patch", "batch", "training", "Mpx/s", "peak memory"], rows)


def batches(plan: Plan) -> str:
    """Return a table of training speed by batch size."""
    rows = []
    for batch in plan.batches:
        point = measure("step", plan.case._replace(batch=batch), plan.repeats)
        rows.append([str(batch), point.timing.rate(batch, "patches"), memory_cell(point)])
    return table(["batch", "training", "peak memory"], rows)


def tile_counts(plan: Plan) -> str:
    """Return a table of inspection time by the number of tiles of the image."""
    rows = []
    for size in plan.image_sizes:
        tiles = len(tile_starts(size, plan.case.crop_size, STRIDE)) ** 2
        point = measure("inspection", plan.case._replace(im_resize=size), 3 * plan.repeats)
        per_tile = f"{1000 * point.timing.median / tiles:.3g} ms"
        rows.append([f"{size} px", str(tiles), point.timing.duration(), per_tile, memory_cell(point)])
    return table(["image", "tiles", "inspection", "per tile", "peak memory"], rows)


def image_counts(plan: Plan) -> str:
    """Return a table of the time of `predict` by the number of images."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        originals = good_fabric_images(Path(scratch), count=4, size=2 * plan.case.im_resize)
        for count in plan.image_counts:
            folder = Path(scratch) / str(count)
            copy_images(originals, folder, count)
            point = measure("prediction", plan.case, 2, str(folder))
            rows.append([str(count), point.timing.duration(), point.timing.rate(count, "images"), memory_cell(point)])
    return table(["images", "predict", "rate", "peak memory"], rows)


def processes(plan: Plan) -> str:
    """Return a table of training speed by the number of processes that share each batch."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        data_set = fabric_data_set(Path(scratch), count=20, size=plan.case.im_resize)
        for workers in (1, 2):
            runs = Path(scratch) / str(workers)
            launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"] if workers > 1 else []
            command = [sys.executable, *launch, "-m", "ssim_ae", "train", str(data_set), "--runs", str(runs)]
            subprocess.run([*command, *training_options(plan)], check=True, stdout=subprocess.DEVNULL)
            rows.append([str(workers), f"{three_digits(recorded_rate(next(runs.iterdir())))} patches/s"])
    return table(["processes", "training"], rows)


def training_options(plan: Plan) -> list[str]:
    """Return the options of `ssim-ae train` for the network and the duration of the training."""
    config = config_of(plan.case, epochs=3, augment_num=plan.epoch_steps * plan.case.batch, run_eval=False)
    settings = config.model_dump(include=config.model_fields_set)
    return [f"--{key}={value}" for key, value in settings.items()]


def memory_cell(point: Point) -> str:
    """Return the peak memory of a point as a cell of a table."""
    return f"{point.memory:,.0f} MiB"


def measure(kind: str, case: Case, repeats: int, *arguments: str) -> Point:
    """Measure a point in a separate process."""
    print(f"{kind}: {case.name}, images of {case.im_resize} px", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--point", kind, str(case), str(repeats), *arguments]
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return Point(Timing.of(result["seconds"]), result["memory"])


def print_point(kind: str, case: str, repeats: str, *arguments: str) -> None:
    """Measure a point in this process and print it as JSON."""
    function = FUNCTIONS[kind](Case.read(case), *arguments)
    seconds = timing(function, int(repeats)).seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"seconds": seconds, "memory": peak / MIB}))


def step(case: Case) -> Callable[[], Any]:
    """Return a function that runs a training step."""
    config = config_of(case)
    return step_of(engine_of(config), config)


def inspection(case: Case) -> Callable[[], Any]:
    """Return a function that inspects a random image."""
    detector = load_untrained(case)
    image = np.random.default_rng(0).integers(0, 256, (case.im_resize, case.im_resize, 1), np.uint8)
    return lambda: detector.inspect(image)


def prediction(case: Case, folder: str) -> Callable[[], Any]:
    """Return a function that runs `predict` on the images in a folder."""
    detector, paths = load_untrained(case), sorted(Path(folder).iterdir())
    return lambda: list(predict(detector, paths))


def load_untrained(case: Case) -> Detector:
    """Return an untrained detector that is loaded from a file."""
    with tempfile.TemporaryDirectory() as scratch:
        config = config_of(case, stride=STRIDE)
        return Detector.load(untrained_detector(config, Path(scratch) / "detector.safetensors"), device_target="CPU")


FUNCTIONS = {function.__name__: function for function in (step, inspection, prediction)}


def main(arguments: Sequence[str]) -> None:
    """Measure, print the tables, and write them if requested."""
    if arguments[:1] == ["--point"]:
        print_point(*arguments[1:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="tiny sizes, to test the script; the results mean nothing")
    parser.add_argument("--output", metavar="FILE", help="write the tables as Markdown")
    options = parser.parse_args(arguments)
    sections = []
    for text in tables(TOY if options.toy else FULL):
        print(f"{text}\n", flush=True)
        sections.append(text)
    if options.output:
        Path(options.output).write_text(document("Scaling", METHOD, "\n\n".join(sections)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
