"""Print the metrics of an evaluation as a table."""

from math import isnan

from ssim_ae.evaluation.results import Estimate, Evaluation
from ssim_ae.images.folders import ALL
from ssim_ae.tables import Row, print_table

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


def print_metrics(evaluation: Evaluation) -> None:
    """Print the metrics in percent: a row for each defect type, the total, and its 95 % intervals."""
    rows = []
    for name, metrics in evaluation.metrics.items():
        count = metrics.good + metrics.defective if name == ALL else metrics.defective
        cells = [str(count), *(_percent(getattr(metrics, key)) for key in HEADINGS)]
        rows.append(Row(name, cells, "bold" if name == ALL else ""))
    total = evaluation.metrics[ALL]
    intervals = [_interval(getattr(total, key)) for key in HEADINGS]
    rows.append(Row("95 % interval", [f"{total.good} good", *intervals], "dim"))
    print_table(evaluation.dataset, ["defect type", "images", *HEADINGS.values()], rows)


def _percent(estimate: Estimate) -> str:
    return "-" if isnan(estimate.value) else f"{100 * estimate.value:.1f}"


def _interval(estimate: Estimate) -> str:
    return "" if isnan(estimate.low) else f"{100 * estimate.low:.0f}-{100 * estimate.high:.0f}"
