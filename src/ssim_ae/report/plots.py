"""Write the curves of a report as figures for a publication, one file each."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ssim_ae.evaluation.metrics import roc
from ssim_ae.evaluation.results import Evaluation
from ssim_ae.images.folders import ALL
from ssim_ae.maps.verdict import THRESHOLD
from ssim_ae.training.history import draw_history, read_history, save_figure

# Distinguishable with color vision deficiencies (Okabe and Ito 2008)
GOOD_COLOR = "#0072b2"
DEFECTIVE_COLOR = "#d55e00"
SCORE_BINS = 40  # of the histogram of scores
MIN_PLOTTED_SCORE = 1e-3  # smaller scores are drawn at this one: the axis is logarithmic


def write_plots(evaluation: Evaluation, run: Path, folder: Path, suffix: str) -> None:
    """Write the histogram of scores, the ROC curve and the training loss into `folder`.

    `suffix` is png or svg. The ROC curve needs good and defective images, the loss the history in the folder `run`.
    """
    save_figure(_score_histogram(evaluation), folder / f"scores.{suffix}")
    total = evaluation.metrics[ALL]
    if total.good and total.defective:
        save_figure(_roc_curve(evaluation), folder / f"roc.{suffix}")
    if history := read_history(run):
        draw_history(folder / f"loss.{suffix}", history)


def _score_histogram(evaluation: Evaluation) -> Figure:
    scores = np.maximum([result.score for result in evaluation.results], MIN_PLOTTED_SCORE)
    defective = np.array([result.defective for result in evaluation.results])
    figure, axes = _axes(f"score (threshold {THRESHOLD:g})", "images")
    bins = np.geomspace(min(scores.min(), 0.5), max(scores.max(), 2), SCORE_BINS + 1)
    for label, selected, color in (("good", ~defective, GOOD_COLOR), ("defective", defective, DEFECTIVE_COLOR)):
        if selected.any():
            axes.hist(scores[selected], bins=bins, label=label, color=color, alpha=0.7)
    axes.axvline(THRESHOLD, color="black")
    axes.set_xscale("log")
    axes.legend()
    return figure


def _roc_curve(evaluation: Evaluation) -> Figure:
    results = evaluation.results
    false_positive, true_positive, _ = roc(
        [result.score for result in results], [result.defective for result in results]
    )
    area = evaluation.metrics[ALL].image_auroc
    figure, axes = _axes("false-positive rate", "true-positive rate")
    axes.plot(false_positive, true_positive, color=GOOD_COLOR)
    axes.plot([0, 1], [0, 1], color="0.7", linestyle=":")
    interval = f"95 % interval {area.low:.3f} to {area.high:.3f}"
    axes.set_title(f"image AUROC {area.value:.3f} ({interval})", fontsize="medium")
    axes.set_aspect("equal")
    return figure


def _axes(x_label: str, y_label: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5, 3.6), dpi=200, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
