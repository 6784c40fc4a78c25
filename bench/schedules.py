"""Plot the held-out loss of trainings: python bench/schedules.py NAME=RUN... --output curves.png

Each RUN is a folder that `ssim-ae train` wrote. The plot shows its held-out loss by the number of training patches. The
table shows which runs reach the final held-out loss of the first run, and after how many epochs and minutes.
"""

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

from report import table
from ssim_ae import Config


class Curve(NamedTuple):
    """The history of a training: after each epoch the number of training patches, the held-out loss and the minutes."""

    name: str
    patches: list[int]
    losses: list[float]
    minutes: list[float]

    @classmethod
    def read(cls, argument: str) -> "Curve":
        """Read the history of a run that is given as NAME=RUN."""
        name, _, run = argument.partition("=")
        batch_size = Config.read(Path(run) / "config.yaml").batch_size
        with (Path(run) / "history.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return cls(
            name,
            [int(row["steps"]) * batch_size for row in rows],
            [float(row["held_out_loss"]) for row in rows],
            [float(row["seconds"]) / 60 for row in rows],
        )

    def row(self, reference_loss: float) -> list[str]:
        """Return the row of the table: the end of the training, and when it reaches `reference_loss`."""
        reached = next((epoch for epoch, loss in enumerate(self.losses) if loss <= reference_loss), None)
        when = "not reached" if reached is None else f"epoch {reached + 1}, {self.minutes[reached]:.1f} min"
        return [self.name, str(len(self.losses)), f"{self.losses[-1]:.4f}", f"{self.minutes[-1]:.1f}", when]


def plot(curves: list[Curve], output: Path) -> None:
    """Plot held-out losses by patches, both on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        axes.plot(curve.patches, curve.losses, label=curve.name)
    axes.axhline(curves[0].losses[-1], color="0.6", linewidth=0.8, linestyle="--")
    axes.set(xscale="log", yscale="log", xlabel="training patches", ylabel="held-out loss, 1 - SSIM")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.legend(frameon=False)
    figure.savefig(output, dpi=120)


def main() -> None:
    """Plot the curves and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN", help="trainings; the first one is the reference")
    parser.add_argument("--output", default="curves.png", metavar="FILE", help="file of the plot (curves.png)")
    options = parser.parse_args()
    curves = [Curve.read(argument) for argument in options.runs]
    plot(curves, Path(options.output))
    columns = ["training", "epochs", "final held-out loss", "minutes", f"reaches the final loss of {curves[0].name}"]
    print(table(columns, [curve.row(curves[0].losses[-1]) for curve in curves]))


if __name__ == "__main__":
    main()
