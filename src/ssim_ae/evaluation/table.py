"""Print the metrics of an evaluation as a table."""

from math import isnan

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssim_ae.console import escape_unprintable
from ssim_ae.evaluation.results import Estimate, Evaluation
from ssim_ae.images.folders import ALL

HEADINGS = {
    "ok": "ok",
    "nok": "nok",
    "avg": "avg",
    "balanced_accuracy": "bal. acc.",
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "au_pro_30": "AU-PRO .3",
    "au_pro_05": "AU-PRO .05",
    "pixel_f1": "pixel F1",
}
MIN_METRICS_TABLE_WIDTH = 120  # characters; a narrower console wraps the lines


def print_table(evaluation: Evaluation) -> None:
    """Print the metrics in percent: a row for each defect type, the total, and its 95 % intervals."""
    table = Table(box=SIMPLE_HEAD, title=Text(escape_unprintable(evaluation.dataset)), title_justify="left")
    table.add_column("defect type", no_wrap=True)
    table.add_column("images", justify="right")
    for heading in HEADINGS.values():
        table.add_column(heading, justify="right")
    for name, row in evaluation.metrics.items():
        count = row.good + row.defective if name == ALL else row.defective
        cells = [_percent(getattr(row, key)) for key in HEADINGS]
        table.add_row(Text(escape_unprintable(name)), str(count), *cells, style="bold" if name == ALL else None)
    total = evaluation.metrics[ALL]
    intervals = [_interval(getattr(total, key)) for key in HEADINGS]
    table.add_row("95 % interval", f"{total.good} good", *intervals, style="dim")
    Console(width=max(Console().width, MIN_METRICS_TABLE_WIDTH)).print(table)


def _percent(estimate: Estimate) -> str:
    return "-" if isnan(estimate.value) else f"{100 * estimate.value:.1f}"


def _interval(estimate: Estimate) -> str:
    return "" if isnan(estimate.low) else f"{100 * estimate.low:.0f}-{100 * estimate.high:.0f}"
