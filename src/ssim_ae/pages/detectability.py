"""The data of the section "What it can find"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, model_validator

from ssim_ae.images.size import Size
from ssim_ae.proportions import wilson

if TYPE_CHECKING:
    from ssim_ae.detectability.reasons import Described


class Detectability(BaseModel):
    """The share of drawn defects that a detector finds, by contrast and size.

    `found`, `low` and `high` have a row per contrast and a column per size: shares in [0, 1], and the bounds of their
    95 % intervals.
    """

    sentence: str  # the result in words
    working_size: tuple[int, int]  # height and width, px
    sizes: list[float]  # px of the image, ascending, above 0
    contrasts: list[str]  # their names
    found: list[list[float]]
    low: list[list[float]]
    high: list[list[float]]
    images: int  # in which defects were drawn

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        for name, matrix in (("found", self.found), ("low", self.low), ("high", self.high)):
            if [len(row) for row in matrix] != [len(self.sizes)] * len(self.contrasts):
                raise ValueError(f"{name}: should have {len(self.contrasts)} rows of {len(self.sizes)} shares")
        return self


def detectability_data(detector: Described) -> Detectability | None:
    """Return the data of a detector's chart; None if it was not measured."""
    from ssim_ae.detectability.reasons import weakness  # not for the client of the server, which has no NumPy

    chart = detector.detectability
    if not chart:
        return None
    intervals = [[wilson(count, chart.defects) for count in counts] for counts in chart.found.values()]
    return Detectability(
        sentence=" ".join([*weakness(detector), chart.summary()]),
        working_size=Size.of(chart.working_size),
        sizes=chart.sizes,
        contrasts=list(chart.found),
        found=[[count / chart.defects for count in counts] for counts in chart.found.values()],
        low=[[low for low, _ in row] for row in intervals],
        high=[[high for _, high in row] for row in intervals],
        images=chart.images - chart.rejected,
    )
