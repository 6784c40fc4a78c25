"""The figures as a table on the console."""

from math import isnan

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssim_ae.console import printable
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


def print_table(evaluation: Evaluation) -> None:
    """Print one row a defect type, and one with 95 % intervals for all together."""
    table = Table(box=SIMPLE_HEAD, title=Text(printable(evaluation.dataset)), title_justify="left")
    table.add_column("type", no_wrap=True)
    table.add_column("images", justify="right")
    for heading in HEADINGS.values():
        table.add_column(heading, justify="right")
    for name, row in evaluation.figures.items():
        count = row.good + row.defective if name == ALL else row.defective
        cells = [_percent(getattr(row, key)) for key in HEADINGS]
        table.add_row(Text(printable(name)), str(count), *cells, style="bold" if name == ALL else None)
    whole = evaluation.figures[ALL]
    intervals = [_interval(getattr(whole, key)) for key in HEADINGS]
    table.add_row("95 %", f"{whole.good} good", *intervals, style="dim")
    Console(width=max(Console().width, 120)).print(table)


def _percent(figure: Estimate) -> str:
    return "-" if isnan(figure.value) else f"{100 * figure.value:.1f}"


def _interval(figure: Estimate) -> str:
    return "" if isnan(figure.low) else f"{100 * figure.low:.0f}-{100 * figure.high:.0f}"
