"""Compare what detectors find of drawn defects with what they find of real ones.

    python bench/detectability.py RUN...

Each run has test images with real defects. The detectability chart is measured on its held-out good images; nok and
image AUROC on the test images. Prints a Markdown table, lowest share first, and Spearman's rank correlations.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

from scipy.stats import spearmanr

from report import table
from ssim_ae import Detector, evaluate
from ssim_ae.detectability.measure import measure_detectability
from ssim_ae.detector.detectability_chart import DetectabilityChart
from ssim_ae.images.folders import ALL, find_dataset


class Row(NamedTuple):
    """What a detector finds of drawn and of real defects."""

    run: str
    dataset: str
    chart: DetectabilityChart
    nok: float
    auroc: float


def measure(run: str, defects: int) -> Row:
    """Measure one detector with so many drawn defects for each size and contrast."""
    detector = Detector.load(run)
    detector.config = detector.config.replace(drawn_defects=defects)
    dataset = find_dataset(detector.config.dataset_path)
    chart = measure_detectability(detector, detector.provenance.split(dataset.good).held_out)
    if not chart:
        raise SystemExit(f"{run}: no held-out images")
    metrics = evaluate(detector, dataset).metrics[ALL]
    return Row(Path(run).name, dataset.name, chart, metrics.nok.value, metrics.image_auroc.value)


def cells(row: Row) -> list[str]:
    """Return the cells of a row of the table."""
    found = [row.chart.smallest_found(contrast) for contrast in ("medium", "high")]
    sizes = [f"{size:.0f} px" if size else "-" for size in found]
    return [row.run, f"{100 * row.chart.mean_share:.0f}", *sizes, f"{100 * row.nok:.0f}", f"{100 * row.auroc:.1f}"]


def correlation(rows: list[Row]) -> str:
    """Return the rank correlation of the share of drawn defects found with nok and with image AUROC."""
    shares = [row.chart.mean_share for row in rows]
    nok, auroc = (_rank_correlation(shares, [getattr(row, name) for row in rows]) for name in ("nok", "auroc"))
    return f"{nok} with nok, {auroc} with image AUROC ({len(rows)} detectors)"


def _rank_correlation(first: list[float], second: list[float]) -> str:
    if len(set(first)) == 1 or len(set(second)) == 1:
        return "undefined (equal values)"
    return f"{spearmanr(first, second).statistic:.2f}"


def main() -> None:
    """Print the table and the correlations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder that ssim-ae train wrote")
    parser.add_argument("--defects", type=int, default=40, help="drawn for each size and contrast (40)")
    options = parser.parse_args()
    rows = sorted((measure(run, options.defects) for run in options.runs), key=lambda row: row.chart.mean_share)
    columns = ("run", "drawn defects found, %", "90 % at medium contrast", "at high contrast", "nok", "image AUROC")
    print(table(columns, [cells(row) for row in rows]))
    for dataset in sorted({row.dataset for row in rows}):
        own = [row for row in rows if row.dataset == dataset]
        if len(own) > 2:
            print(f"{dataset}: {correlation(own)}")
    print(f"all: {correlation(rows)}")


if __name__ == "__main__":
    main()
