"""Make the saved detectors anew, after FORMAT was raised: python tests/saved/make.py (needs every export's framework).

Older ones stay: every later version must open them and come to their scores.
"""

import contextlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from ssim_ae import Config, Detector, train
from ssim_ae.detector.detector_file import FORMAT, read_detector, write_detector
from ssim_ae.export.export import export
from ssim_ae.export.options import ExportOptions
from ssim_ae.synthetic import fabric

SETTINGS = {"im_resize": 64, "crop_size": 32, "z_dim": 8, "flc": 4, "stride": 16, "augment_num": 512, "epochs": 8}
FORMS = {  # of the method `reference`
    "inspection.onnx": ExportOptions(),
    "network.onnx": ExportOptions(graph="network", opset=11),
    "half.xml": ExportOptions("openvino"),
    "eight_bits.xml": ExportOptions("openvino", precision="int8"),
    "network.mindir": ExportOptions("mindir"),
}


def make(folder: Path) -> None:
    """Write a detector of each method, exports, three images and the scores they get."""
    folder.mkdir()
    with TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        cloth = fabric.make(Path(), classes=["twill"], train=40, good=1, defective=1, size=96, seed=1)[0]
        detector, repair = folder / "detector.safetensors", folder / "repair.safetensors"
        for path, method in ((detector, "reference"), (repair, "repair")):
            config = Config(dataset_path=str(cloth), run_eval=False, device_target="CPU", method=method, **SETTINGS)
            file = read_detector(train(config).detector_path)
            write_detector(path, file._replace(config=file.config.replace(dataset_path=str(cloth))))
        for name, form in FORMS.items():
            export(detector, folder / name, form)
        export(repair, folder / "repair.onnx", ExportOptions())
        images = {"good.png": "good/000.png", "cut.png": "cut/000.png", "hole.png": "hole/000.png"}
        for name, drawn in images.items():
            (folder / name).write_bytes((cloth / "test" / drawn).read_bytes())
    names = (detector.name, *FORMS, repair.name, "repair.onnx")
    scores = {name: score(folder / name, folder) for name in names}
    (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")


def score(detector: Path, folder: Path) -> dict[str, float]:
    """Return the score of every image in the folder."""
    loaded = Detector.load(detector, device_target="CPU")
    return {path.name: loaded.inspect(path).score for path in sorted(folder.glob("*.png"))}


if __name__ == "__main__":
    make(Path(__file__).parent.resolve() / f"format-{FORMAT}")
