"""Run the campaign, and print a table of what came of it."""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign import endurance, faults, kills, mutations, products, requests
from campaign.child import import_all
from campaign.row import Row

PARTS: dict[str, Callable[[products.Products, Path, float], Iterator[Row]]] = {
    "kills": kills.rows,
    "faults": faults.rows,
    "mutations": mutations.rows,
    "requests": requests.rows,
    "endurance": endurance.rows,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (all)")
    parser.add_argument("--times", type=int, default=100, help="share of the full length, per cent (100)")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        import_all()
        made = products.make(Path(folder))
        for name in options.parts or PARTS:
            start = time.monotonic()
            for row in PARTS[name](made, Path(folder) / name, options.times):
                print(row, f"{time.monotonic() - start:.0f} s", flush=True)
                for failure in row.failures[:20]:
                    print("   ", failure)
                failed += bool(row.failures)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
