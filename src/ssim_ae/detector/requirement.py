"""A requirement on what a detector finds, as the command line states it: `90% at 14px`."""

from __future__ import annotations

import re
from typing import NamedTuple, Self

from ssim_ae.detector.detectability_chart import CONTRASTS, DetectabilityChart
from ssim_ae.errors import InputError

DEFAULT_CONTRAST = "medium"
PATTERN = re.compile(
    rf"(?P<percent>\d+(\.\d+)?) *% +at +(?P<size>\d+(\.\d+)?) *px( +(?P<contrast>{'|'.join(CONTRASTS)})( +contrast)?)?"
)


class Requirement(NamedTuple):
    """At least `share` of the drawn defects of `size` px and larger are to be found, at a contrast."""

    share: float
    size: float
    contrast: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `90% at 14px`, with ` low`, ` medium` or ` high` at the end for the contrast. Raises InputError."""
        match = PATTERN.fullmatch(text.strip())
        if not match or not 0 < float(match["percent"]) <= 100 or not float(match["size"]):
            raise InputError(f"--require {text!r}: should be like '90% at 14px' or '90% at 14px high'")
        return cls(float(match["percent"]) / 100, float(match["size"]), match["contrast"] or DEFAULT_CONTRAST)

    def __str__(self) -> str:
        return f"{100 * self.share:g} % of defects of {self.size:g} px and larger at {self.contrast} contrast"

    def is_met_by(self, chart: DetectabilityChart) -> bool:
        """Return whether a detector with this chart finds so many."""
        return chart.share_at(self.size, self.contrast) >= self.share
