"""The detectability chart: the share of drawn defects that a detector finds, by size and contrast, and its tolerance.

It is measured on held-out good images, at the detector's own thresholds, and stored in the detector file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, log
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from ssim_ae.images.size import Size
from ssim_ae.spelling import significant

CONTRASTS = {"low": 0.08, "medium": 0.16, "high": 0.32}  # root mean square change inside the defect, share of white
FOUND = 0.9  # share of defects that a detector should find
SAID_SHARES = (FOUND, 0.5)  # of defects found: for each contrast the first that is reached is said, with the size
MISSED = 0.05  # share of defects found up to which a size is said to be missed
TOLERATED = 0.1  # share of changed good images rejected up to which the change is tolerated
Change = Literal["shift", "turn", "brightness"]
UNITS: dict[Change, str] = {"shift": "px", "turn": "°", "brightness": "%"}
DESCRIPTIONS: dict[Change, str] = {"shift": "a shift", "turn": "a turn", "brightness": "a change of brightness"}
SIDE = Annotated[int, Field(ge=1, le=2**31)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Tolerance(_Strict):
    """How many of `images` accepted good images are rejected after a change of the whole image, by its amount.

    The amounts are in px of the image for a shift, in degrees for a turn, in percent for the brightness.
    """

    change: Change
    amounts: list[PositiveFloat]
    rejected: list[NonNegativeInt]
    images: PositiveInt

    @property
    def tolerated(self) -> float:
        """The largest amount up to which at most a tenth of the images are rejected; 0 if there is none."""
        largest = 0.0
        for amount, rejected in zip(self.amounts, self.rejected, strict=True):
            if rejected > TOLERATED * self.images:
                break
            largest = amount
        return largest

    @property
    def unit(self) -> str:
        """The unit of the amounts."""
        return UNITS[self.change]

    def __str__(self) -> str:
        most = " (the most tried)" if self.tolerated == self.amounts[-1] else ""
        return f"{DESCRIPTIONS[self.change]} of {significant(self.tolerated, 2)} {self.unit}{most}"


class DetectabilityChart(_Strict):
    """The number of drawn defects that are found, `found[contrast][size]`, of `defects` each.

    `rejected` of `images` held-out good images are rejected as they are; defects are drawn into the accepted ones.
    Sizes are in px of images of `image_height` x `image_width` px.
    """

    images: PositiveInt
    rejected: NonNegativeInt
    image_height: SIDE
    image_width: SIDE
    working_size: SIDE | Annotated[list[SIDE], Field(min_length=2, max_length=2)]  # height and width, if they differ
    sizes: list[PositiveFloat] = []
    defects: NonNegativeInt = 0
    found: dict[str, list[NonNegativeInt]] = {}
    tolerances: list[Tolerance] = []

    @model_validator(mode="after")
    def _check_shapes(self) -> DetectabilityChart:
        expected = set(CONTRASTS) if self.sizes and self.defects else set()
        fits = all(len(row) == len(self.sizes) and max(row) <= self.defects for row in self.found.values())
        if self.found.keys() != expected or not fits:
            raise ValueError("detectability: the counts do not fit the sizes and contrasts")
        return self

    @property
    def mean_share(self) -> float:
        """The share of all drawn defects that are found; 0 if none was drawn."""
        drawn = self.defects * len(self.sizes) * len(self.found)
        return sum(map(sum, self.found.values())) / drawn if drawn else 0.0

    @property
    def best_share(self) -> float:
        """The largest share of drawn defects of one size and contrast that is found; 0 if none was drawn."""
        return max(map(max, self.found.values())) / self.defects if self.found else 0.0

    def share_at(self, size: float, contrast: str) -> float:
        """Return the share of defects of `size` px and larger that are found, interpolated between the drawn sizes.

        It is 0 below the smallest size and if no defect was drawn.
        """
        if contrast not in self.found or size < self.sizes[0]:
            return 0.0
        counts = _non_decreasing(self.found[contrast])
        for position, next_size in enumerate(self.sizes[1:], 1):
            if size < next_size:
                part = log(size / self.sizes[position - 1]) / log(next_size / self.sizes[position - 1])
                low, high = counts[position - 1 : position + 1]
                return (low + part * (high - low)) / self.defects
        return counts[-1] / self.defects

    def smallest_found(self, contrast: str, share: float = FOUND) -> float | None:
        """Return the size in px from which on `share` of the defects are found; None if there is none."""
        counts = _non_decreasing(self.found.get(contrast, []))
        target = share * self.defects
        for position, (size, count) in enumerate(zip(self.sizes, counts, strict=False)):
            if count >= target:
                if not position:
                    return size
                previous_size, previous = self.sizes[position - 1], counts[position - 1]
                part = (target - previous) / (count - previous)
                return exp(log(previous_size) + part * log(size / previous_size))
        return None

    def largest_missed(self, contrast: str) -> float | None:
        """Return the size in px up to which next to no defect is found; None if there is none."""
        missed = None
        for size, count in zip(self.sizes, self.found.get(contrast, []), strict=False):
            if count > MISSED * self.defects:
                break
            missed = size
        return missed

    def summary(self) -> str:
        """Return what is found and what is tolerated, in words."""
        if self.rejected == self.images:
            return f"All {self.images} held-out good images are rejected as they are: the thresholds are of no use."
        sentences = list(self._found_sentences()) if self.found else []
        if self.found and self.tolerances:
            sentences.append(f"Good parts are accepted up to {_joined(list(map(str, self.tolerances)))}.")
        return " ".join(sentences)

    def _found_sentences(self) -> Iterator[str]:
        """Yield from which size on most defects are found, what is found of the largest, and which size is missed."""
        where = f"in images of {self.image_width} x {self.image_height} px (working size {Size.of(self.working_size)})"
        largest = self.sizes[-1]
        if not self.best_share:
            yield f"Finds none of the drawn defects of up to {_px(largest)}, {where}."
            return
        said = {contrast: self._share_said(contrast) for contrast in ("medium", "high", "low")}
        finds = []
        for share in SAID_SHARES:
            sizes = [
                f"{_px(self.smallest_found(contrast, share) or largest)} and larger at {contrast} contrast"
                for contrast in said
                if said[contrast] == share
            ]
            if sizes:
                finds.append(f"{100 * share:.0f} % of drawn defects of {_joined(sizes)}")
        of_largest = [
            f"{100 * self.found[contrast][-1] / self.defects:.0f} % at {contrast} contrast"
            for contrast in said
            if said[contrast] != FOUND
        ]
        if finds:
            yield f"Finds {', and '.join(finds)}, {where}."
        if of_largest:
            yield f"Of defects of {_px(largest)}{'' if finds else ' ' + where} it finds {_joined(of_largest)}."
        if (missed := self.largest_missed("medium")) and missed < largest:
            yield f"Of defects of up to {_px(missed)} at medium contrast it finds at most {100 * MISSED:.0f} %."

    def _share_said(self, contrast: str) -> float | None:
        """Return the first of SAID_SHARES that is found of the largest defects at a contrast; None if none is."""
        return next((share for share in SAID_SHARES if self.found[contrast][-1] >= share * self.defects), None)


def _non_decreasing(counts: Sequence[int]) -> list[int]:
    """Return for each size the smallest count of it and all larger sizes."""
    return [min(counts[position:]) for position in range(len(counts))]


def _px(size: float) -> str:
    """Return a size as text, at least 1 px."""
    return f"{max(1, round(size))} px"


def _joined(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
