"""What happened epoch by epoch: a CSV and a picture of the curves."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ssim_ae.storage import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HISTORY_NAME = "history.csv"


class Epoch(NamedTuple):
    """One row of the history. `seconds` counts from the start of the training.

    Losses are 1 - SSIM; with the method `repair` and 10 times the squared error.
    """

    epoch: int
    steps: int
    loss: float
    held_out_loss: float | None
    rate: float
    patches_per_second: float
    seconds: float


def write_history(folder: Path, history: Sequence[Epoch]) -> None:
    """Write history.csv into a run's folder."""
    rows = [",".join(Epoch._fields)]
    rows += [",".join("" if value is None else f"{value:.6g}" for value in epoch) for epoch in history]
    write_whole(folder / HISTORY_NAME, "\n".join(rows) + "\n")


def read_history(folder: Path) -> list[Epoch]:
    """Return what `write_history` wrote into a run's folder; nothing where there is none that can be read."""
    try:
        rows = [row.split(",") for row in (folder / HISTORY_NAME).read_text().splitlines()[1:]]
        return [_epoch(*row) for row in rows]
    except (OSError, ValueError, TypeError, OverflowError):
        return []


def _epoch(epoch: str, steps: str, loss: str, held_out_loss: str, *rest: str) -> Epoch:
    held_out = float(held_out_loss) if held_out_loss else None
    return Epoch(int(float(epoch)), int(float(steps)), float(loss), held_out, *map(float, rest))


def draw_history(path: Path, history: Sequence[Epoch]) -> None:
    """Draw the losses and the learning rate into a .png or .svg file."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    epochs = [row.epoch for row in history]
    marker = "o" if len(history) < 30 else None
    axes.plot(epochs, [row.loss for row in history], label="training", marker=marker, color="#0072b2")
    if history and history[0].held_out_loss is not None:
        held_out = [row.held_out_loss or 0.0 for row in history]
        axes.plot(epochs, held_out, label="held-out good images", marker=marker, color="#d55e00")
    axes.set(xlabel="epoch", ylabel="loss", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3, which="both")
    rates = axes.twinx()
    rates.plot(epochs, [row.rate for row in history], color="0.6", linestyle=":", label="learning rate")
    rates.set_ylabel("learning rate", color="0.4")
    lines = [*axes.get_lines(), *rates.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], loc="upper right")
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure into a .png or .svg file."""
    buffer = BytesIO()
    figure.savefig(buffer, format=path.suffix[1:])
    write_whole(path, buffer.getvalue())
