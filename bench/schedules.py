"""Draw how trainings learn: python bench/schedules.py NAME=RUN... --output curves.png

Each RUN is a folder made by `ssim-ae train`. Its held-out loss is drawn against the patches learned from; a table says
which of the runs reach the last loss of the first one, after how many epochs and minutes.
"""

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

from report import table
from ssim_ae import Config


class Curve(NamedTuple):
    """A training: its name, and after every epoch the patches learned from, the held-out loss and the minutes."""

    name: str
    patches: list[int]
    losses: list[float]
    minutes: list[float]

    @classmethod
    def read(cls, named: str) -> "Curve":
        """Read the history of a run given as NAME=RUN."""
        name, _, run = named.partition("=")
        batch_size = Config.read(Path(run) / "config.yaml").batch_size
        with (Path(run) / "history.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return cls(
            name,
            [int(row["steps"]) * batch_size for row in rows],
            [float(row["held_out_loss"]) for row in rows],
            [float(row["seconds"]) / 60 for row in rows],
        )

    def row(self, wanted: float) -> list[str]:
        """Return the line of the table: how it ended, and when it came to the loss that is wanted."""
        reached = next((epoch for epoch, loss in enumerate(self.losses) if loss <= wanted), None)
        when = "not reached" if reached is None else f"epoch {reached + 1}, {self.minutes[reached]:.1f} min"
        return [self.name, str(len(self.losses)), f"{self.losses[-1]:.4f}", f"{self.minutes[-1]:.1f}", when]


def draw(curves: list[Curve], output: Path) -> None:
    """Draw held-out losses over patches, both logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        axes.plot(curve.patches, curve.losses, label=curve.name)
    axes.axhline(curves[0].losses[-1], color="0.6", linewidth=0.8, linestyle="--")
    axes.set(xscale="log", yscale="log", xlabel="patches learned from", ylabel="held-out loss, 1 - SSIM")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.legend(frameon=False)
    figure.savefig(output, dpi=120)


def main() -> None:
    """Draw the curves and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN", help="trainings; the first one sets the mark")
    parser.add_argument("--output", default="curves.png", metavar="FILE", help="the picture (curves.png)")
    options = parser.parse_args()
    curves = [Curve.read(named) for named in options.runs]
    draw(curves, Path(options.output))
    columns = ["training", "epochs", "held-out loss at its end", "minutes", f"{curves[0].name}'s last loss reached"]
    print(table(columns, [curve.row(curves[0].losses[-1]) for curve in curves]))


if __name__ == "__main__":
    main()
