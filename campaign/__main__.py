"""Run the robustness tests and print a table of the results."""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign import endurance, faults, kills, mutations, products, requests
from campaign.child import import_all
from campaign.row import Row

MAX_FAILURES = 20  # printed for each row
PARTS: dict[str, Callable[[products.Products, Path, int], Iterator[Row]]] = {
    "kills": kills.rows,
    "faults": faults.rows,
    "mutations": mutations.rows,
    "requests": requests.rows,
    "endurance": endurance.rows,
}


def main() -> int:
    """Run the chosen parts; return 1 if a row has failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)} (all)")
    parser.add_argument(
        "--times", type=int, default=100, help="number of trials, in percent of the full number (100); not for faults"
    )
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        import_all()
        made = products.make(Path(folder))
        for name in options.parts or PARTS:
            start = time.monotonic()
            for row in PARTS[name](made, Path(folder) / name, options.times):
                print(row, f"{time.monotonic() - start:.0f} s", flush=True)
                for failure in row.failures[:MAX_FAILURES]:
                    print("   ", failure)
                failed |= bool(row.failures)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
