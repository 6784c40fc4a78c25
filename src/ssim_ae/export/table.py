"""Tables on the console: parity of an export, and accuracy by precision."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ssim_ae.export.accuracy import Accuracy
from ssim_ae.export.export import ExportResult
from ssim_ae.images.folders import ALL

PARITY_HEADINGS = ("images", "number", "reconstruction", "residuals", "score", "equal verdicts")
ACCURACY_HEADINGS = ("weights", "ok", "nok", "image AUROC", "pixel AUROC", "changed verdicts", "ms per patch")
MIN_EXPORT_TABLE_WIDTH = 100  # columns, also where the output is not a terminal


def print_export(result: ExportResult) -> None:
    """Print the differences on good images and on images with a synthetic defect, and the path of the file."""
    if result.parity:
        rows = []
        for name, found in zip(("good", "good, with a synthetic defect"), result.parity, strict=True):
            differences = (f"{value:.1e}" for value in (found.reconstruction, found.residual, found.score))
            rows.append([name, str(found.images), *differences, f"{found.equal_verdicts} of {found.images}"])
        _print_table(f"maximum difference from the detector, run by {result.runtime}", PARITY_HEADINGS, rows)
    print(f"exported: {result.path}")


def print_accuracies(precisions: Sequence[str], accuracies: Sequence[Accuracy]) -> None:
    """Print one row for each precision of the weights."""
    rows = []
    for precision, accuracy in zip(precisions, accuracies, strict=True):
        whole = accuracy.evaluation.metrics[ALL]
        metrics = (whole.ok, whole.nok, whole.image_auroc, whole.pixel_auroc)
        percentages = (f"{100 * metric.value:.1f}" for metric in metrics)
        changed = f"{accuracy.changed_verdicts} of {len(accuracy.evaluation.results)}"
        rows.append([precision, *percentages, changed, f"{accuracy.ms_per_patch:.2f}"])
    title = f"metrics on the test images of {accuracies[0].evaluation.dataset}, in %"
    _print_table(title, ACCURACY_HEADINGS, rows)


def _print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column has the names of the rows."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for cells in rows:
        table.add_row(*cells)
    Console(width=max(Console().width, MIN_EXPORT_TABLE_WIDTH)).print(table)
