"""What a machine lacks: room on the disk, leave to write, files to open, memory for a file, a clock that goes on."""

import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from campaign.child import Outcome
from campaign.intact import broken_files, leftovers
from campaign.kills import Arguments, commands, run_into
from campaign.products import Products
from campaign.row import Row
from ssim_ae.storage import remove_leftovers

PROMISE = "The work done, or a status above 0 and one clear line. Every file is the old one or the new one, whole."
KIB = 1024
DISKS = (16, 64, 128, 256, 400, 512, 768, 1024, 2048)  # KiB that are free


class Tried(NamedTuple):
    """The status that a command ended with under a fault, and what went wrong."""

    status: int
    wrong: list[str]


def rows(products: Products, folder: Path, _times: int) -> Iterator[Row]:
    """Run all that writes under every fault."""
    folder.mkdir()
    works = commands(products)
    yield _row("a full disk", works, lambda work: [_on_disk(products, folder, work, kib) for kib in DISKS])
    yield _row("a folder that is read only", works, lambda work: [_read_only(products, folder, work)])
    limits = (3, 4, 5, 6, 7, 8, 10, 16)
    yield _row("few files to open", works, lambda work: [_files(products, folder, work, n) for n in limits])
    sizes = (0, 1, 20, 50, 100)
    yield _row("a limit on the size of files", works, lambda work: [_sizes(products, folder, work, n) for n in sizes])
    jumps = (-(10**9), -3600, 3600, 10**9)
    yield _row("a clock that jumps", works, lambda work: [_clock(products, folder, work, by) for by in jumps])


def _row(fault: str, works: dict[str, Arguments], tried: Callable[[Arguments], list[Tried]]) -> Row:
    found = [(name, one) for name, work in works.items() for one in tried(work)]
    failures = [f"{name}: {line}" for name, one in found for line in one.wrong]
    done = sum(one.status == 0 for _, one in found)
    outcome = f"kept: {done} done, {len(found) - done} refused in a line"
    names = ", ".join(f"`{name}`" for name in works)
    return Row(f"{fault}, for each of {names}", len(found), outcome, PROMISE, failures)


def _on_disk(products: Products, folder: Path, work: Arguments, kib: int) -> Tried:
    size = kib * KIB + sum(path.stat().st_size for path in (products.detector,)) + 64 * KIB
    with mounted(folder / "disk", "tmpfs", f"size={size}") as disk:
        return _tried(products, disk / "out", work)


def _read_only(products: Products, folder: Path, work: Arguments) -> Tried:
    out = _prepared(products, folder / "read-only")
    try:
        with mounted(out, "none", "bind", str(out)) as same:
            subprocess.run(["mount", "-o", "remount,ro,bind", same], check=True)
            return _judged(run_into(same, work), same, products)
    finally:
        shutil.rmtree(out)


def _files(products: Products, folder: Path, work: Arguments, count: int) -> Tried:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))

    return _tried(products, folder / "files", work, few)


def _sizes(products: Products, folder: Path, work: Arguments, kib: int) -> Tried:
    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kib * KIB, kib * KIB))

    return _tried(products, folder / "sizes", work, small, silent=True)


def _clock(products: Products, folder: Path, work: Arguments, by: int) -> Tried:
    def jump() -> None:
        real, start = time.time, time.time()
        time.time = lambda: real() + (by if real() > start + 0.2 else 0)

    return _tried(products, folder / "clock", work, jump, done=True)


def _tried(
    products: Products,
    out: Path,
    work: Arguments,
    first: Callable[[], None] = lambda: None,
    *,
    silent: bool = False,
    done: bool = False,
) -> Tried:
    _prepared(products, out)
    try:
        return _judged(run_into(out, work, first), out, products, silent=silent, done=done)
    finally:
        shutil.rmtree(out)


def _prepared(products: Products, out: Path) -> Path:
    (out / "tmp").mkdir(parents=True)
    shutil.copy(products.detector, out / "detector.safetensors")
    return out


def _judged(outcome: Outcome, out: Path, products: Products, *, silent: bool = False, done: bool = False) -> Tried:
    """Return what went wrong. `silent`: what is said may be cut off as well; `done`: it has to succeed."""
    remove_leftovers(out)  # as the next start will
    wrong = broken_files(out) + [f"left over: {path}" for path in leftovers(out)]
    if not outcome.clean or (outcome.status and not outcome.said and not silent):
        wrong.append(f"status {outcome.status}: {outcome.said[-300:]!r}")
    if done and outcome.status:
        wrong.append(f"not done: {outcome.said[-300:]!r}")
    if (out / "detector.safetensors").read_bytes() != products.detector.read_bytes():
        wrong.append("the detector changed")
    return Tried(outcome.status, wrong)


@contextmanager
def mounted(place: Path, kind: str, options: str, source: str = "none") -> Iterator[Path]:
    """Mount something for the length of a block. Needs the rights to."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", kind, "-o", options, source, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)
