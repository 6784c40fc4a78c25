"""Make the saved detectors of the current format: python tests/saved/make.py (needs the frameworks of all exports).

Run it when FORMAT_VERSION is raised. Detectors of older formats stay: later versions must open them and return the same
scores.
"""

import contextlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from ssim_ae import Config, Detector, train
from ssim_ae.detector.detector_file import FORMAT_VERSION
from ssim_ae.export.export import export
from ssim_ae.export.options import ExportOptions
from ssim_ae.synthetic import fabric

SETTINGS = {"im_resize": 64, "crop_size": 32, "flc": 4, "augment_num": 512, "epochs": 8, "run_eval": False}
METHODS = {"reference": {"z_dim": 8, "stride": 16}, "repair": {}}
EXPORTS = {  # of the method `reference`
    "inspection.onnx": ExportOptions(),
    "network.onnx": ExportOptions(graph="network", opset=11),
    "half.xml": ExportOptions("openvino"),
    "eight_bits.xml": ExportOptions("openvino", precision="int8"),
    "network.mindir": ExportOptions("mindir"),
}
IMAGES = {"good.png": "good/000.png", "cut.png": "cut/000.png", "hole.png": "hole/000.png"}


def make(folder: Path) -> None:
    """Write a detector of each method, its exports, three images and their scores."""
    folder.mkdir()
    with TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        cloth = fabric.make(Path(), classes=["twill"], train=40, good=1, defective=1, size=96, seed=1)[0]
        runs = {}
        for method, settings in METHODS.items():
            config = Config(method=method, dataset_path=str(cloth), device_target="CPU", **SETTINGS, **settings)
            runs[method] = train(config).detector_path
            (folder / f"{method}.safetensors").write_bytes(runs[method].read_bytes())
        for name, options in EXPORTS.items():
            export(runs["reference"], folder / name, options)
        export(runs["repair"], folder / "repair.onnx", ExportOptions())
        for name, drawn in IMAGES.items():
            (folder / name).write_bytes((cloth / "test" / drawn).read_bytes())
    names = (*(f"{method}.safetensors" for method in METHODS), *EXPORTS, "repair.onnx")
    scores = {name: score(folder / name, folder) for name in names}
    (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")


def score(detector: Path, folder: Path) -> dict[str, float]:
    """Return the score of every image in the folder."""
    loaded = Detector.load(detector, device_target="CPU")
    return {path.name: loaded.inspect(path).score for path in sorted(folder.glob("*.png"))}


if __name__ == "__main__":
    make(Path(__file__).parent.resolve() / f"format-{FORMAT_VERSION}")
