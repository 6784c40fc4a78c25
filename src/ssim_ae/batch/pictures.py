"""Pictures of defective images, which a job writes beside its rows. They are named by the content of the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ssim_ae.buckets.store import error_reason
from ssim_ae.detector.inspection import Inspection
from ssim_ae.detector.overlay import overlay_png
from ssim_ae.errors import InputError
from ssim_ae.images.files import encode_png
from ssim_ae.images.own_folders import PICTURES_OF_JOB

if TYPE_CHECKING:
    from ssim_ae.batch.place import Place

NAME_DIGITS = 24  # of the SHA-256 of the image's content


class _Kind(NamedTuple):
    suffix: str
    png: Callable[[Inspection], bytes]


KINDS = {
    "masks": _Kind("_mask.png", lambda inspection: encode_png(inspection.mask)),
    "heatmaps": _Kind("_heatmap.png", lambda inspection: encode_png(inspection.heatmap)),
    "overlays": _Kind("_overlay.png", lambda inspection: overlay_png(inspection.overlay)),
}


class PictureWriter(NamedTuple):
    """Writes pictures of a kind to a place, each once."""

    place: Place
    kind: str

    def write(self, inspection: Inspection, sha256: str) -> str:
        """Write the picture of an image with this content, unless it is there; return its name.

        Raises InputError with the reason if it cannot be written.
        """
        suffix, png = KINDS[self.kind]
        name = f"{PICTURES_OF_JOB}/{sha256[:NAME_DIGITS]}{suffix}"
        try:
            if not self.place.has(name):
                self.place.write(name, png(inspection))
        except InputError as error:
            reason = error_reason(error.__cause__) if isinstance(error.__cause__, Exception) else str(error)
            raise InputError(f"picture cannot be written: {reason}") from error
        return name
