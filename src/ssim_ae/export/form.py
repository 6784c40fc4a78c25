"""What an export may be: a format, the graph in it, the precision of its weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ssim_ae.errors import InputError
from ssim_ae.runtimes.runtime import MAX_BATCH_SIZE

OPSETS = (11, 12, 13)  # of the network alone, for small devices
SMALLEST_OPSET = 11


class Format(NamedTuple):
    """The suffix of a format's files and of those beside them, and what there is of it, the default first."""

    suffix: str
    beside: str
    graphs: tuple[str, ...]
    precisions: tuple[str, ...] = ("fp32",)


FORMATS = {
    "onnx": Format(".onnx", "", ("inspection", "network")),
    "openvino": Format(".xml", ".bin", ("inspection", "network"), ("fp16", "fp32", "int8")),
    "mindir": Format(".mindir", ".mindir.json", ("network",)),
    "air": Format(".air", ".air.json", ("network",)),
    "om": Format(".om", ".om.json", ("network",)),
}


@dataclass(frozen=True)
class Form:
    """What an export is to be. InputError where there is no such thing.

    `graph`: the whole inspection, or the network alone, which may have a fixed `batch_size` and, in ONNX, an older
    `opset`. `soc_version` is the chip that an OM file is for.
    """

    format: str = "onnx"
    graph: str = ""
    precision: str = ""
    batch_size: int | None = None
    opset: int | None = None
    soc_version: str = "Ascend310"

    def __post_init__(self) -> None:
        _one_of("format", self.format, FORMATS)
        for key, allowed in (("graph", self.kind.graphs), ("precision", self.kind.precisions)):
            object.__setattr__(self, key, getattr(self, key) or allowed[0])
            _one_of(f"{key} of {self.format}", getattr(self, key), allowed)
        if self.batch_size is not None and not 1 <= self.batch_size <= MAX_BATCH_SIZE:
            raise InputError(f"batch_size: should be 1 to {MAX_BATCH_SIZE}, not {self.batch_size}")
        if self.opset is not None:
            _one_of("opset", self.opset, OPSETS)
        if self.graph == "inspection" and (self.batch_size or self.opset):
            raise InputError("batch_size and opset are the network's: export it alone, with graph network")

    @property
    def kind(self) -> Format:
        """The format's suffixes, graphs and precisions."""
        return FORMATS[self.format]

    def target(self, source: Path, output: Path | None) -> Path:
        """Return the file to write: `output`, or one beside `source`. InputError where it exists or is misnamed."""
        target = output or source.with_suffix(self.kind.suffix)
        if target.suffix != self.kind.suffix:
            raise InputError(f"{target}: the name of a file of {self.format} should end in {self.kind.suffix}")
        for path in self.files(target):
            if path.exists():
                raise InputError(f"{path}: exists already; name another file with --output")
        return target

    def files(self, target: Path) -> list[Path]:
        """Return all files of an export to `target`."""
        return [target.with_suffix(suffix) for suffix in (self.kind.suffix, self.kind.beside) if suffix]


def _one_of(key: str, value: object, allowed: Iterable[object]) -> None:
    if value not in allowed:
        raise InputError(f"{key}: should be one of {', '.join(map(str, allowed))}, not {value}")
