"""The curves as figures for a paper, one file each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ssim_ae.evaluation.metrics import roc
from ssim_ae.evaluation.results import Evaluation
from ssim_ae.images.folders import ALL
from ssim_ae.training.history import draw_history, read_history, save_figure

GOOD_COLOUR, DEFECTIVE_COLOUR = "#0072b2", "#d55e00"  # told apart by everyone (Okabe and Ito 2008)
BINS = 40


def plot(evaluation: Evaluation, run: Path, folder: Path, suffix: str) -> Iterator[Path]:
    """Draw scores, ROC and the losses of a run's folder, as far as there are any; `suffix` is png or svg."""
    yield _saved(_scores(evaluation), folder / f"scores.{suffix}")
    whole = evaluation.figures[ALL]
    if whole.good and whole.defective:
        yield _saved(_roc(evaluation), folder / f"roc.{suffix}")
    if history := read_history(run):
        draw_history(folder / f"loss.{suffix}", history)
        yield folder / f"loss.{suffix}"


def _scores(evaluation: Evaluation) -> Figure:
    scores = np.maximum([case.score for case in evaluation.cases], 1e-3)
    defective = np.array([case.defective for case in evaluation.cases])
    figure, axes = _axes("score, the limit is 1", "images")
    bins = np.geomspace(min(scores.min(), 0.5), max(scores.max(), 2), BINS + 1)
    for label, which, colour in (("good", ~defective, GOOD_COLOUR), ("defective", defective, DEFECTIVE_COLOUR)):
        if which.any():
            axes.hist(scores[which], bins=bins, label=label, color=colour, alpha=0.7)
    axes.axvline(1, color="black")
    axes.set_xscale("log")
    axes.legend()
    return figure


def _roc(evaluation: Evaluation) -> Figure:
    wrong, right, _ = roc([case.score for case in evaluation.cases], [case.defective for case in evaluation.cases])
    area = evaluation.figures[ALL].image_auroc
    figure, axes = _axes("share of good images called defective", "share of defective images found")
    axes.plot(wrong, right, color=GOOD_COLOUR)
    axes.plot([0, 1], [0, 1], color="0.7", linestyle=":")
    axes.set_title(f"image AUROC {area.value:.3f} (95 %: {area.low:.3f} to {area.high:.3f})", fontsize="medium")
    axes.set_aspect("equal")
    return figure


def _axes(x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5, 3.6), dpi=200, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _saved(figure: Figure, path: Path) -> Path:
    save_figure(figure, path)
    return path
