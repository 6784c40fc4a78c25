"""Print runs as a table."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssim_ae.console import escape_unprintable
from ssim_ae.runs.summary import RunSummary

WIDE = 100  # characters; a narrower console does not show when a run was started, and on which data set
NUMBERS = {"images": 6, "epochs": 6, "min": 4, "ok": 5, "nok": 5, "AUROC": 5, "exp. false alarms": 6}  # and widths


def print_runs(summaries: Sequence[RunSummary]) -> None:
    """Print a row for each run; rates in percent."""
    console = Console()
    wide = not console.is_terminal or console.width >= WIDE
    if wide and not console.is_terminal:
        console = Console(width=WIDE + max(len(summary.run) + len(summary.dataset) for summary in summaries))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("run", overflow="fold")
    for heading in ("started", "data set") if wide else ():
        table.add_column(heading, no_wrap=heading == "started")
    table.add_column("method", no_wrap=True)
    for heading, width in NUMBERS.items():
        table.add_column(heading, justify="right", min_width=width, max_width=width + 1)
    table.add_column("state", no_wrap=True)
    for row in summaries:
        figures = [_percent(value) for value in (row.ok, row.nok, row.image_auroc)]
        if row.evaluated is False:
            figures = [f"{figure}*" if figure else "" for figure in figures]
        images = "" if row.images is None else str(row.images)
        epochs = "" if row.epochs is None else f"{row.epochs:g}"
        table.add_row(
            Text(escape_unprintable(row.run)),
            *((row.started, Text(escape_unprintable(row.dataset))) if wide else ()),
            row.method,
            *(images, epochs, f"{row.minutes:.1f}", *figures, _percent(row.expected_false_alarm_rate)),
            row.state,
        )
    console.print(table)
    if any(row.evaluated is False for row in summaries):
        console.print("* of a former version; ssim-ae report RUN evaluates the current one")


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.1f}"
