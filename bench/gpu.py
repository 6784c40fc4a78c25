"""Check and measure training and inspection on a GPU: python bench/gpu.py [--minutes 8] [--output FILE]

The parts run one after the other, the most valuable first, each in a process of its own with a time limit. Results are
written as they come: to FILE as a Markdown table, and to the terminal. The exit status is 1 if a check fails. Data are
drawn; --images names a folder of real ones in MVTec AD's layout. bench/gpu.sh installs what a machine lacks.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

import gpu_checks
import gpu_speed
from gpu_result import Plan, Result
from report import document, table

COLUMNS = ("part", "", "value", "target", "met", "note")
METHOD = (
    "Each part ran in a process of its own. Rates are medians after a warm-up, with minimum and maximum in brackets."
)


class Part(NamedTuple):
    """A function that yields results, and the seconds that it may take."""

    run: Callable[[Plan], Iterator[Result]]
    limit: float


PARTS = {
    "machine": Part(gpu_speed.machine, 40),
    "losses": Part(gpu_checks.losses, 90),
    "inspection": Part(gpu_checks.inspection, 60),
    "waiting": Part(gpu_checks.waiting, 40),
    "steps": Part(gpu_speed.steps, 180),
    "repair": Part(gpu_speed.repair_training, 120),
    "inspection rate": Part(gpu_speed.inspection_rates, 60),
    "resume": Part(gpu_checks.resume, 180),
    "errors": Part(gpu_checks.errors, 60),
    "processes": Part(gpu_checks.processes, 60),
    "reference": Part(gpu_speed.reference_training, 240),
}


def run_part(name: str, plan: Plan, limit: float) -> list[Result]:
    """Run a part in a process of its own; return its results, also those before an error or the time limit."""
    command = [sys.executable, __file__, "--part", name, "--plan", json.dumps(plan)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        printed, errors = process.communicate(timeout=limit)
        problem = errors.strip().splitlines()[-1:] if process.returncode else []
    except subprocess.TimeoutExpired:
        process.kill()
        printed, _ = process.communicate()
        problem = [f"stopped after {limit:.0f} s"]
    results = [Result(*json.loads(line)) for line in printed.splitlines() if line.startswith("[")]
    return [*results, Result("not completed", problem[0], met=False)] if problem else results


def rows(results: list[tuple[str, Result]]) -> str:
    """Return the results, each with the name of its part, as a Markdown table."""
    met = {True: "yes", False: "no", None: ""}
    cells = ((part, result.name, result.value, result.target, met[result.met], result.note) for part, result in results)
    return table(COLUMNS, cells)


def measure(plan: Plan, names: list[str], minutes: float, output: Path | None) -> list[tuple[str, Result]]:
    """Run the parts within `minutes`; write the table after each."""
    end = time.monotonic() + 60 * minutes
    results: list[tuple[str, Result]] = []
    for name in names:
        left = end - time.monotonic()
        if left < plan.least_seconds:
            results.append((name, Result("not run", "the time was over")))
            continue
        start = time.monotonic()
        of_part = run_part(name, plan, min(left, PARTS[name].limit))
        results += [(name, result) for result in of_part]
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        print(rows([(name, result) for result in of_part]), flush=True)
        if output:
            output.write_text(document("Training and inspection on a GPU", METHOD, rows(results)), encoding="utf-8")
    return results


def main() -> int:
    """Run the parts, or, in the process of a part, that part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8, help="for all parts together (default: 8)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table as Markdown")
    parser.add_argument("--images", default="", metavar="FOLDER", help="a class of MVTec AD in place of drawn images")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--toy", action="store_true", help="tiny sizes on the CPU, to test the script")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--plan", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        for result in PARTS[options.part].run(Plan(*json.loads(options.plan))):
            print(json.dumps(result), flush=True)
        return 0
    if not options.toy and not torch.cuda.is_available():
        parser.error("no CUDA device found; --toy runs the same code at tiny sizes on the CPU")
    plan = Plan.toy() if options.toy else Plan.full(options.images)
    results = measure(plan, options.parts, options.minutes, options.output)
    failed = [f"{part}: {result.name}" for part, result in results if result.is_check and result.met is False]
    print(f"checks that failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
