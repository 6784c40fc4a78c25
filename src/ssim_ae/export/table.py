"""How an export compares with its detector, as a table on the console."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ssim_ae.export.export import Export

HEADINGS = ("images", "reconstruction", "residuals", "score", "same verdicts")


def print_export(exported: Export) -> None:
    """Print one row for the good images and one for those with a drawn defect."""
    title = f"largest difference from the detector in {exported.trainer}"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("on")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for name, found in zip(("good images", "with a drawn defect"), exported.parity, strict=True):
        apart = (f"{value:.1e}" for value in (found.reconstruction, found.residual, found.score))
        table.add_row(name, str(found.images), *apart, f"{found.same_verdicts} of {found.images}")
    Console(width=max(Console().width, 100)).print(table)
    print(f"exported: {exported.path}")
