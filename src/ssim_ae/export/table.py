"""Tables on the console: parity of an export, and accuracy by precision."""

from collections.abc import Sequence

from ssim_ae.export.accuracy import Accuracy
from ssim_ae.export.export import ExportResult
from ssim_ae.export.parity import Difference
from ssim_ae.images.folders import ALL
from ssim_ae.tables import Row, print_table

ACCURACY_HEADINGS = ("weights", "ok", "nok", "image AUROC", "pixel AUROC", "changed verdicts", "ms per patch")


def print_export(result: ExportResult) -> None:
    """Print the differences on good images and on images with a synthetic defect, and the path of the file."""
    if result.parity:
        names = ("good", "with a synthetic defect")
        cells = [_parity_cells(found) for found in result.parity]
        rows = [Row(name, list(values.values())) for name, values in zip(names, cells, strict=True)]
        title = f"maximum difference from the detector, run by {result.runtime}"
        print_table(title, ("images", *cells[0]), rows)
    print(f"exported: {result.path}")


def _parity_cells(found: Difference) -> dict[str, str]:
    """Return the cells of a row by the headings of their columns."""
    reconstruction = {} if found.reconstruction is None else {"reconstruction": f"{found.reconstruction:.1e}"}
    return {
        "number": str(found.images),
        **reconstruction,
        "residuals": f"{found.residual:.1e}",
        "score": f"{found.score:.1e}",
        "equal verdicts": f"{found.equal_verdicts} of {found.images}",
    }


def print_accuracies(precisions: Sequence[str], accuracies: Sequence[Accuracy]) -> None:
    """Print one row for each precision of the weights."""
    rows = []
    for precision, accuracy in zip(precisions, accuracies, strict=True):
        whole = accuracy.evaluation.metrics[ALL]
        metrics = (whole.ok, whole.nok, whole.image_auroc, whole.pixel_auroc)
        percentages = (f"{100 * metric.value:.1f}" for metric in metrics)
        changed = f"{accuracy.changed_verdicts} of {len(accuracy.evaluation.results)}"
        rows.append(Row(precision, [*percentages, changed, f"{accuracy.ms_per_patch:.2f}"]))
    title = f"metrics on the test images of {accuracies[0].evaluation.dataset}, in %"
    print_table(title, ACCURACY_HEADINGS, rows)
