"""SIGKILL: before every file operation of a command, and at random moments; then the same command again."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from campaign.child import Outcome, command, killed_at
from campaign.intact import broken_files, leftovers
from campaign.products import Products, training
from campaign.row import Row
from ssim_ae.detector.detector_file import read_detector

PROMISE = "Every file is the old one or the new one, whole. What was half written is gone after the next start."
RESUMED = f"{PROMISE} `--resume` ends bit for bit where the undisturbed run ends."
Arguments = list[object]
WRITE_ONCE = ("threshold", "export", "fabric")  # what refuses to write over an older file


def rows(products: Products, folder: Path, times: int) -> Iterator[Row]:
    """Kill all that writes; at random moments `times` x 0.3 times each."""
    for name, arguments in commands(products).items():
        old = folder / name / "old"
        old.mkdir(parents=True)
        shutil.copy(products.other, old / "detector.safetensors")
        whole = run_into(old, arguments)  # the older files; of a training, the undisturbed run
        failures = [] if whole.clean else [f"undisturbed: {whole.said}"]
        if name in WRITE_ONCE:
            shutil.rmtree(old)
            old.mkdir()
        shutil.copy(products.detector, old / "detector.safetensors")
        kill = killer(name, arguments, old)
        at = tried = 0
        while (found := kill(folder / name / f"at-{at}", killed_at(at), 120)) is not None:
            failures += [f"{name} before file operation {at}: {line}" for line in found]
            at += 1
        for number, moment in enumerate(np.random.default_rng(times).uniform(0.02, 1, 3 * times // 10)):
            found = kill(folder / name / f"after-{number}", lambda: None, moment * whole.seconds)
            tried += found is not None
            failures += [f"{name} after {moment:.3f} of its time: {line}" for line in found or ()]
        fault = f"`{name}` killed before each of its {at} file operations, and at random moments"
        yield Row(fault, at + tried, "kept", RESUMED if name == "train" else PROMISE, failures)


def commands(products: Products) -> dict[str, Arguments]:
    """Return all that writes files, each into a folder OUT that has a detector and older files of the same names."""
    outputs = ["--csv", "OUT/p.csv", "--json", "OUT/p.json", "--overlays", "OUT/overlays"]
    return {
        "train": [*training(products.dataset), "--runs", "OUT"],
        "threshold": ["threshold", "OUT/detector.safetensors", products.dataset / "test" / "good"],
        "export": ["export", "OUT/detector.safetensors"],
        "predict": ["predict", "OUT/detector.safetensors", products.dataset / "test", *outputs],
        "report": ["report", "OUT/detector.safetensors", products.dataset, "--output", "OUT/report"],
        "evaluate": ["evaluate", "OUT/detector.safetensors", products.dataset, "--save_dir", "OUT"],
        "fabric": ["fabric", "OUT", "--classes", "badge", "--train", 2, "--good", 1, "--defective", 1, "--size", 64],
    }


def killer(name: str, arguments: Arguments, old: Path) -> Callable[[Path, Callable[[], None], float], list[str] | None]:
    """Return what kills a command in a copy of a folder, and says what went wrong; None where it came to its end."""
    files = {path.relative_to(old) for path in old.rglob("*") if path.is_file()}

    def kill(out: Path, first: Callable[[], None], seconds: float) -> list[str] | None:
        shutil.copytree(old, out)
        try:
            if not run_into(out, arguments, first, seconds).killed:
                return None
            wrong = [f"lost: {path}" for path in files if not (out / path).exists()] + broken_files(out)
            again = run_into(out, _next_start(name, arguments, out))
            wrong += [] if again.clean else [f"the next start: {again.said}"]
            wrong += [f"left over: {path}" for path in leftovers(out)] + broken_files(out)
            if name == "train" and not _same_weights(out, old):
                wrong.append("the resumed run ends elsewhere")
            return wrong
        finally:
            shutil.rmtree(out)

    return kill


def _next_start(name: str, arguments: Arguments, out: Path) -> Arguments:
    if name == "train" and (out / "twill-2" / "config.yaml").exists():
        return ["train", "--resume", "OUT/twill-2"]
    if name in WRITE_ONCE and any(path.name not in ("detector.safetensors", "tmp") for path in out.glob("[!.]*")):
        given = ["--ssim_threshold", 1, "--l1_threshold", 1]  # it was done: another that writes into this folder
        return ["threshold", "OUT/detector.safetensors", *given, "--output", "OUT/again.safetensors"]
    return arguments


def _same_weights(out: Path, old: Path) -> bool:
    mine, theirs = (read_detector(sorted(folder.glob("twill-*"))[-1] / "detector.safetensors") for folder in (out, old))
    return all((mine.weights[name] == theirs.weights[name]).all() for name in theirs.weights)


def run_into(
    out: Path, arguments: Arguments, first: Callable[[], None] = lambda: None, seconds: float = 120
) -> Outcome:
    """Run a command into a folder, with its scratch files in one of that folder."""

    def here() -> None:
        tempfile.tempdir = str(out / "tmp")
        first()

    (out / "tmp").mkdir(exist_ok=True)
    return command(*(str(word).replace("OUT", str(out)) for word in arguments), first=here, seconds=seconds)
