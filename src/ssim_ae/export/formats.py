"""The export formats.

To add a format, write a module with a function like those that the table names, and add a line to the table.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ssim_ae.export.job import ExportJob
    from ssim_ae.export.parity import Inspect

    Writer = Callable[[Path, ExportJob], Inspect | None]


class ExportFormat(NamedTuple):
    """A format of exported files.

    Attributes:
        suffix: suffix of the exported file.
        sidecar_suffix: suffix of the second file that belongs to it; empty if there is none.
        graphs: graphs that the format supports, the default first: `inspection`, `network`.
        precisions: precisions of the weights that the format supports, the default first: `fp32`, `fp16`, `int8`.
        writer: the function that writes the files, as `module:function`. It is called with the path of the file and
            the `ExportJob`. It returns a function that inspects an image with the written file, or None if nothing on
            this machine can run the file. Its module is imported when the format is used, because it imports a
            framework.
    """

    suffix: str
    sidecar_suffix: str
    graphs: tuple[str, ...]
    precisions: tuple[str, ...]
    writer: str

    def files(self, path: Path) -> list[Path]:
        """Return the paths of all files of an export whose main file is `path`, the main file first."""
        return [path.with_suffix(suffix) for suffix in (self.suffix, self.sidecar_suffix) if suffix]

    def load_writer(self) -> Writer:
        """Import and return the function that writes the files."""
        module, _, function = self.writer.partition(":")
        writer: Writer = getattr(import_module(module), function)
        return writer


FORMATS = {
    "onnx": ExportFormat(".onnx", "", ("inspection", "network"), ("fp32",), "ssim_ae.export.onnx_files:write"),
    "openvino": ExportFormat(
        ".xml", ".bin", ("inspection", "network"), ("fp16", "fp32", "int8"), "ssim_ae.export.openvino_files:write"
    ),
    "mindir": ExportFormat(
        ".mindir", ".mindir.json", ("network",), ("fp32",), "ssim_ae.export.mindspore_files:write_mindir"
    ),
    "air": ExportFormat(".air", ".air.json", ("network",), ("fp32",), "ssim_ae.export.mindspore_files:write_air"),
    "om": ExportFormat(".om", ".om.json", ("network",), ("fp32",), "ssim_ae.export.ascend_files:write"),
}
