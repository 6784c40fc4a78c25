"""Make a checkpoint as the reference system does, with MindSpore: python tests/saved/reference/make.py FOLDER.

Its network in MindSpore's own layers, one step of its training, its checkpoint callback; then what the trained network
makes of a patch. Everything is small but for the layout: it exists for patches of 128 and 256 px only.
"""

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("GLOG_v", "3")

import mindspore
from mindspore import Model, Tensor, dataset, nn
from mindspore.train import CheckpointConfig, ModelCheckpoint


class Network(nn.Cell):
    """Patches (B, C, S, S) in [0, 1], blue, green and red where C is 3 -> reconstructions."""

    def __init__(self, crop_size: int, channels: int, z_dim: int, flc: int) -> None:
        super().__init__()
        outer = 3 if crop_size == 256 else 2
        down = [(flc, 4)] * outer + [(flc, 3), (2 * flc, 4), (2 * flc, 3), (4 * flc, 4), (2 * flc, 3), (flc, 3)]
        up = [(2 * flc, 3), (4 * flc, 3), (2 * flc, 4), (2 * flc, 3), (flc, 4), (flc, 3)] + [(flc, 4)] * (outer - 1)
        cells: list[nn.Cell] = []
        for before, (after, kernel) in zip([channels, *[width for width, _ in down]], down, strict=False):
            cells += [padded(before, after, kernel), nn.LeakyReLU(0.2)]
        self.encoded = nn.SequentialCell([*cells, nn.Conv2d(flc, z_dim, 8, pad_mode="valid", has_bias=True)])
        cells = [nn.Conv2dTranspose(z_dim, flc, 8, pad_mode="valid", has_bias=True), nn.LeakyReLU(0.2)]
        for before, (after, kernel) in zip([flc, *[width for width, _ in up]], up, strict=False):
            doubled = kernel == 4
            cell = nn.Conv2dTranspose(before, after, 4, 2, has_bias=True) if doubled else padded(before, after, kernel)
            cells += [cell, nn.LeakyReLU(0.2)]
        last = nn.Conv2dTranspose(flc, channels, 4, 2, pad_mode="pad", padding=1, has_bias=True)
        self.decoded = nn.SequentialCell([*cells, last, nn.Sigmoid()])

    def construct(self, patches):
        return self.decoded(self.encoded(patches))


def padded(before: int, after: int, kernel: int) -> nn.Cell:
    """A convolution that halves with a kernel of 4, and keeps the size with one of 3."""
    stride = 2 if kernel == 4 else 1
    return nn.Conv2d(before, after, kernel, stride, pad_mode="pad", padding=1, has_bias=True)


class Loss(nn.Cell):
    """1 - SSIM of patches and their reconstructions."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.ssim = network, nn.SSIM(max_val=1.0)

    def construct(self, patches):
        return 1 - self.ssim(self.network(patches), patches).mean()


def set_lively(network: nn.Cell, rng: np.random.Generator) -> None:
    """Set weights under which values neither fade away nor grow from layer to layer: all of them show in the output."""
    for cell in (*network.encoded, *network.decoded):
        if not hasattr(cell, "weight"):
            continue
        kernel = cell.kernel_size[0]
        reached = {4: 4, 8: 1}[kernel] if isinstance(cell, nn.Conv2dTranspose) else kernel**2
        terms = cell.in_channels * reached
        for parameter, deviation in ((cell.weight, (2 / terms) ** 0.5), (cell.bias, 0.3)):
            parameter.set_data(Tensor(rng.normal(0, deviation, parameter.shape).astype(np.float32)))


def waves(channels: int, size: int) -> np.ndarray:
    """Return a patch (C, S, S) uint8 in which channels, rows and columns all differ."""
    y, x = np.mgrid[:size, :size] / size
    planes = [np.sin(9 * x + 4 * y * y + channel) * np.cos(5 * y + 2 * channel) for channel in range(channels)]
    return np.rint(127.5 + 127.5 * np.stack(planes)).astype(np.uint8)


def make(folder: Path, crop_size: int, channels: int, z_dim: int, flc: int, every: int) -> None:
    """Write reference.ckpt, and patch.npz: a patch, and of its reconstruction one row and column in `every`."""
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    mindspore.set_device("CPU")
    rng = np.random.default_rng(1)
    network = Network(crop_size, channels, z_dim, flc)
    set_lively(network, rng)
    patch = waves(channels, crop_size)
    values = patch.astype(np.float32) / 255
    batches = dataset.NumpySlicesDataset(np.stack([values] * 2), ["patches"], shuffle=False).batch(2)
    optimizer = nn.AdamWeightDecay(network.trainable_params(), learning_rate=2e-4, weight_decay=1e-5)
    model = Model(Loss(network), optimizer=optimizer, amp_level="O0")
    with TemporaryDirectory() as scratch:
        keep = CheckpointConfig(save_checkpoint_steps=1, keep_checkpoint_max=1)
        model.train(1, batches, [ModelCheckpoint("reference", scratch, keep)], dataset_sink_mode=False)
        (checkpoint,) = Path(scratch).glob("*.ckpt")
        (folder / "reference.ckpt").write_bytes(checkpoint.read_bytes())
    reconstruction = network.set_train(False)(Tensor(values[None])).asnumpy()[0]
    np.savez_compressed(folder / "patch.npz", patch=patch, reconstruction=reconstruction[:, ::every, ::every])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for name, value in {"crop_size": 128, "channels": 3, "z_dim": 4, "flc": 2, "every": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    make(**vars(parser.parse_args()))
