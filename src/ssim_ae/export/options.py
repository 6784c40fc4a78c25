"""The options of an export."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ssim_ae.errors import InputError
from ssim_ae.export.formats import FORMATS, ExportFormat
from ssim_ae.runtimes.runtime import MAX_BATCH_SIZE

OPSET_FORMATS = ("onnx", "om")  # whose files are made of ONNX operators
DEFAULT_CHIP = "Ascend310"
NETWORK_OPSETS = (11, 12, 13)  # of ONNX, for the graph `network`: older ones suit small devices


@dataclass(frozen=True)
class ExportOptions:
    """The options of an export, checked. An option that the format does not support raises an InputError.

    Attributes:
        format: a key of `FORMATS`.
        graph: `inspection` (image in, verdict out) or `network` (its input and output alone); empty: the format's
            default.
        precision: precision of the weights, `fp32`, `fp16` or `int8`; empty: the format's default.
        batch_size: fixed number of patches that a `network` takes at once; None: any number.
        opset: version of the ONNX operators of a `network`; None: the default.
        soc_version: name of the chip that an OM file is compiled for; empty: `DEFAULT_CHIP`.
    """

    format: str = "onnx"
    graph: str = ""
    precision: str = ""
    batch_size: int | None = None
    opset: int | None = None
    soc_version: str = ""

    def __post_init__(self) -> None:
        _check_choice("format", self.format, FORMATS)
        for key, supported in (("graph", self.export_format.graphs), ("precision", self.export_format.precisions)):
            object.__setattr__(self, key, getattr(self, key) or supported[0])
            _check_choice(f"{key} of {self.format}", getattr(self, key), supported)
        if self.batch_size is not None and not 1 <= self.batch_size <= MAX_BATCH_SIZE:
            raise InputError(f"batch_size: should be 1 to {MAX_BATCH_SIZE}, not {self.batch_size}")
        if self.opset is not None:
            _check_choice("opset", self.opset, NETWORK_OPSETS)
        self._check_have_effect()

    def _check_have_effect(self) -> None:
        """Raise InputError for an option that would be ignored."""
        if self.graph == "inspection" and (self.batch_size or self.opset):
            key = "batch_size" if self.batch_size else "opset"
            raise InputError(f"{key}: not supported by graph inspection; set graph to network")
        if self.opset and self.format not in OPSET_FORMATS:
            raise InputError(f"opset: no effect on format {self.format}; leave it out")
        if self.batch_size and self.precision == "int8":
            raise InputError("batch_size: not supported by precision int8; leave it out")
        if self.soc_version and self.format != "om":
            raise InputError(f"soc_version: no effect on format {self.format}; leave it out")

    @property
    def export_format(self) -> ExportFormat:
        """The entry of the table of formats."""
        return FORMATS[self.format]

    def target(self, source: Path, output: Path | None) -> Path:
        """Return the path of the file to write: `output`, or a file beside the detector file `source`.

        InputError if its suffix is not that of the format, or if a file of the export exists.
        """
        suffix = self.export_format.suffix
        target = output or source.with_suffix(suffix)
        if target.suffix != suffix:
            raise InputError(f"{target}: not a file name for format {self.format}; choose one that ends in {suffix}")
        for path in self.export_format.files(target):
            if path.exists():
                raise InputError(f"{path}: exists already; name another file with --output")
        return target


def _check_choice(key: str, value: object, supported: Iterable[object]) -> None:
    if value not in supported:
        raise InputError(f"{key}: should be one of {', '.join(map(str, supported))}, not {value}")
