"""How an export compares with its detector, as tables on the console."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ssim_ae.export.accuracy import Accuracy
from ssim_ae.export.export import Export
from ssim_ae.images.folders import ALL

PARITY_HEADINGS = ("images", "reconstruction", "residuals", "score", "same verdicts")
ACCURACY_HEADINGS = ("ok", "nok", "image AUROC", "pixel AUROC", "other verdicts", "ms a patch")


def print_export(exported: Export) -> None:
    """Print one row for the good images and one for those with a drawn defect."""
    if exported.parity:
        rows = {}
        for name, found in zip(("good images", "with a drawn defect"), exported.parity, strict=True):
            apart = (f"{value:.1e}" for value in (found.reconstruction, found.residual, found.score))
            rows[name] = [str(found.images), *apart, f"{found.same_verdicts} of {found.images}"]
        _print(f"largest difference from the detector in {exported.trainer}", "on", PARITY_HEADINGS, rows)
    print(f"exported: {exported.path}")


def print_accuracies(names: Sequence[str], found: Sequence[Accuracy]) -> None:
    """Print one row a precision."""
    rows = {}
    for name, accuracy in zip(names, found, strict=True):
        whole = accuracy.evaluation.metrics[ALL]
        figures = (whole.ok, whole.nok, whole.image_auroc, whole.pixel_auroc)
        changed = f"{accuracy.changed_verdicts} of {len(accuracy.evaluation.results)}"
        rows[name] = [*(f"{100 * figure.value:.1f}" for figure in figures), changed, f"{accuracy.milliseconds:.2f}"]
    _print(f"on the test images of {found[0].evaluation.dataset}", "weights", ACCURACY_HEADINGS, rows)


def _print(title: str, first: str, headings: Sequence[str], rows: dict[str, list[str]]) -> None:
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    Console(width=max(Console().width, 100)).print(table)
