"""Kill commands before each file operation and at random times, then run them again."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from campaign.child import Outcome, do_nothing, kill_before, run_command
from campaign.intact import broken_files, leftovers
from campaign.products import Products, train_arguments
from campaign.row import Row
from ssim_ae.detector.detector_file import read_detector

GUARANTEE = "Every file is complete: the old one or the new one. The next start removes temporary files."
GUARANTEE_OF_TRAIN = f"{GUARANTEE} `--resume` ends bit for bit where the undisturbed run ends."
Arguments = list[object]
KEEPS_EXISTING = ("threshold", "export", "fabric")  # commands that do not overwrite files


def rows(products: Products, folder: Path, times: int) -> Iterator[Row]:
    """Kill all commands that write files, each at `times` x 0.3 random times too."""
    for name, arguments in commands(products).items():
        yield _row(name, arguments, products, folder / name, times)


def commands(products: Products) -> dict[str, Arguments]:
    """Return the arguments of all commands that write files.

    Each writes into a folder OUT that contains a detector and older files of the same names.
    """
    outputs = ["--csv", "OUT/p.csv", "--json", "OUT/p.json", "--overlays", "OUT/overlays"]
    return {
        "train": [*train_arguments(products.dataset), "--runs", "OUT"],
        "threshold": ["threshold", "OUT/detector.safetensors", products.dataset / "test" / "good"],
        "export": ["export", "OUT/detector.safetensors"],
        "predict": ["predict", "OUT/detector.safetensors", products.dataset / "test", *outputs],
        "report": ["report", "OUT/detector.safetensors", products.dataset, "--output", "OUT/report"],
        "evaluate": ["evaluate", "OUT/detector.safetensors", products.dataset, "--save_dir", "OUT"],
        "fabric": ["fabric", "OUT", "--classes", "badge", "--train", 2, "--good", 1, "--defective", 1, "--size", 64],
    }


def _row(name: str, arguments: Arguments, products: Products, folder: Path, times: int) -> Row:
    old = folder / "old"
    old.mkdir(parents=True)
    shutil.copy(products.other, old / "detector.safetensors")
    undisturbed = run_into(old, arguments)  # writes the older files; for a training, the run to compare with
    failures = [] if undisturbed.clean else [f"undisturbed: {undisturbed.output}"]
    if name in KEEPS_EXISTING:
        shutil.rmtree(old)
        old.mkdir()
    shutil.copy(products.detector, old / "detector.safetensors")
    operations = tried = 0
    while True:
        out = folder / f"at-{operations}"
        problems = kill_and_repeat(name, arguments, old, out, kill_before(operations), 120)
        if problems is None:
            break
        failures += [f"{name} before file operation {operations}: {problem}" for problem in problems]
        operations += 1
    for number, moment in enumerate(np.random.default_rng(times).uniform(0.02, 1, 3 * times // 10)):
        out = folder / f"after-{number}"
        problems = kill_and_repeat(name, arguments, old, out, do_nothing, moment * undisturbed.seconds)
        tried += problems is not None
        failures += [f"{name} after {moment:.3f} of its duration: {problem}" for problem in problems or ()]
    fault = f"`{name}` killed before each of its {operations} file operations, and at random times"
    guarantee = GUARANTEE_OF_TRAIN if name == "train" else GUARANTEE
    return Row(fault, operations + tried, "passed", guarantee, failures)


def kill_and_repeat(
    name: str, arguments: Arguments, old: Path, out: Path, prepare: Callable[[], None], timeout: float
) -> list[str] | None:
    """Kill a command that writes into a copy of the folder `old`, then run it again.

    `prepare` and `timeout` decide when it is killed. Returns a line for each problem; None if the command ended first.
    """
    files = {path.relative_to(old) for path in old.rglob("*") if path.is_file()}
    shutil.copytree(old, out)
    try:
        if not run_into(out, arguments, prepare, timeout).killed:
            return None
        problems = [f"lost: {path}" for path in files if not (out / path).exists()] + broken_files(out)
        repeated = run_into(out, _next_start(name, arguments, out))
        problems += [] if repeated.clean else [f"the next start: {repeated.output}"]
        problems += [f"left over: {path}" for path in leftovers(out)] + broken_files(out)
        if name == "train" and not _same_weights(out, old):
            problems.append("the resumed run has other weights")
        return problems
    finally:
        shutil.rmtree(out)


def _next_start(name: str, arguments: Arguments, out: Path) -> Arguments:
    if name == "train" and (out / "twill-2" / "config.yaml").exists():
        return ["train", "--resume", "OUT/twill-2"]
    if name in KEEPS_EXISTING and any(path.name not in ("detector.safetensors", "tmp") for path in out.glob("[!.]*")):
        # The killed command had written its output: another command that writes into this folder
        thresholds = ["--ssim_threshold", 1, "--l1_threshold", 1]
        return ["threshold", "OUT/detector.safetensors", *thresholds, "--force", "--output", "OUT/again.safetensors"]
    return arguments


def _same_weights(out: Path, old: Path) -> bool:
    ours, expected = (
        read_detector(sorted(folder.glob("twill-*"))[-1] / "detector.safetensors") for folder in (out, old)
    )
    return all((ours.weights[name] == expected.weights[name]).all() for name in expected.weights)


def run_into(
    out: Path, arguments: Arguments, prepare: Callable[[], None] = do_nothing, timeout: float = 120
) -> Outcome:
    """Run a command with OUT replaced by a folder; its temporary files go into a subfolder."""

    def prepare_all() -> None:
        tempfile.tempdir = str(out / "tmp")
        prepare()

    (out / "tmp").mkdir(exist_ok=True)
    words = (str(word).replace("OUT", str(out)) for word in arguments)
    return run_command(*words, prepare=prepare_all, timeout=timeout)
