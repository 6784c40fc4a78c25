"""The history of a training, epoch by epoch: a CSV file and a plot of its curves."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ssim_ae.storage import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HISTORY_NAME = "history.csv"
MAX_MARKED_EPOCHS = 30  # epochs; from here on the curves have no markers


class EpochRecord(NamedTuple):
    """One row of the history. The field names are the columns of the CSV file.

    Losses are those of the method: the sum of its terms by their weights (`LossWeights`).
    """

    epoch: int  # counted from 1
    steps: int  # since the start of the training
    loss: float
    held_out_loss: float | None  # of the monitor patches; None if it is not finite or no image is held out
    lr: float  # learning rate of the last step
    patches_per_second: float
    seconds: float  # since the start of the training


def write_history(folder: Path, history: Sequence[EpochRecord]) -> None:
    """Write history.csv into a run's folder."""
    rows = [",".join(EpochRecord._fields)]
    rows += [",".join(map(_cell, record)) for record in history]
    write_atomic(folder / HISTORY_NAME, "\n".join(rows) + "\n")


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def read_history(folder: Path) -> list[EpochRecord]:
    """Return the history in a run's folder; an empty list if the file is missing or invalid."""
    try:
        rows = [row.split(",") for row in (folder / HISTORY_NAME).read_text().splitlines()[1:]]
        return [_parse_record(*row) for row in rows]
    except (OSError, ValueError, TypeError, OverflowError):
        return []


def _parse_record(epoch: str, steps: str, loss: str, held_out_loss: str, *rest: str) -> EpochRecord:
    held_out = float(held_out_loss) if held_out_loss else None
    return EpochRecord(int(float(epoch)), int(float(steps)), float(loss), held_out, *map(float, rest))


def draw_history(path: Path, history: Sequence[EpochRecord]) -> None:
    """Plot the losses and the learning rate of at least one epoch into a .png or .svg file."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    epochs = [record.epoch for record in history]
    marker = "o" if len(history) < MAX_MARKED_EPOCHS else None
    curves = {"training": ([record.loss for record in history], "#0072b2")}
    if history[0].held_out_loss is not None:
        curves["held-out good images"] = ([record.held_out_loss or nan for record in history], "#d55e00")
    for name, (losses, color) in curves.items():
        axes.plot(epochs, losses, label=f"{name}: {losses[-1]:.4f}", marker=marker, color=color)
    axes.set(xlabel="epoch", ylabel="loss", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    shown = [loss for losses, _ in curves.values() for loss in losses if loss > 0]
    if shown and max(shown) < 10 * min(shown):  # hardly a power of ten is in sight
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(alpha=0.3, which="both")
    lines = axes.get_lines()
    if len(history) > 1:
        lr_axes = axes.twinx()
        lr_axes.plot(epochs, [record.lr for record in history], color="0.6", linestyle=":", label="learning rate")
        lr_axes.set_ylabel("learning rate", color="0.4")
        lines = [*lines, *lr_axes.get_lines()]
    elif shown:
        axes.set(xlim=(0, 2), ylim=(min(shown) / 2, max(shown) * 2))
    axes.legend(lines, [str(line.get_label()) for line in lines], loc="upper right")
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure into a .png or .svg file."""
    buffer = BytesIO()
    figure.savefig(buffer, format=path.suffix[1:])
    write_atomic(path, buffer.getvalue())
