"""Print the largest differences between the MindSpore engine and the PyTorch engine as JSON. Run as a subprocess."""

import json
import sys

import numpy as np

from ssim_ae import Config
from ssim_ae.methods.reference import METHOD
from ssim_ae.synthetic import fabric
from ssim_ae.training.mindspore_engine import MindSporeEngine
from ssim_ae.training.patch_sampling import epoch_patches
from ssim_ae.training.torch_engine import TorchEngine

STEPS = 20  # training steps from the same weights on the same batches


def main(config: Config) -> dict[str, float]:
    """Return the largest absolute difference of each output of the two engines."""
    fabrics = [fabric.draw("twill", size=config.im_resize, seed=seed)[0] for seed in range(6)]
    images = np.stack([np.moveaxis(image, 2, 0)[: config.channels] for image in fabrics])
    table = METHOD.layers(config)
    torch_engine = TorchEngine(config, table, images, images)
    mindspore_engine = MindSporeEngine(config, table, images, images)
    torch_engine.load_weights(mindspore_engine.weights(), "MindSpore")
    epoch = epoch_patches(config, len(images), 0)
    compared, held_out = epoch.take(slice(0, 64)), epoch.take(slice(0, 40))
    patches = torch_engine.patches(compared)
    differences = {
        "patches": largest_difference(patches, mindspore_engine.patches(compared)),
        "reconstruction": reconstruction_difference(torch_engine, mindspore_engine, patches),
        "loss": 0.0,
    }
    start = mindspore_engine.state()
    first_losses: list[float] = []
    for step in range(STEPS):
        batch = epoch.take(slice(step * config.batch_size, (step + 1) * config.batch_size))
        losses = [float(engine.step(batch, config.lr)) for engine in (torch_engine, mindspore_engine)]
        first_losses.append(losses[1])
        differences["loss"] = max(differences["loss"], abs(losses[0] - losses[1]))
    differences["reconstruction_after"] = reconstruction_difference(torch_engine, mindspore_engine, patches)
    differences["held_out_loss"] = abs(torch_engine.held_out_loss(held_out) - mindspore_engine.held_out_loss(held_out))
    state = mindspore_engine.state()
    torch_engine.load_state(state, "MindSpore")
    loaded = torch_engine.state()
    differences["state"] = max(largest_difference(state[name], loaded[name]) for name in state)
    mindspore_engine.load_state(start, "the start")
    repeated = [
        mindspore_engine.step(epoch.take(slice(step * config.batch_size, (step + 1) * config.batch_size)), config.lr)
        for step in range(STEPS)
    ]
    differences["repeated_loss"] = max(abs(a - b) for a, b in zip(first_losses, repeated, strict=True))
    return differences


def largest_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest absolute difference of two arrays."""
    return float(np.abs(first - second).max())


def reconstruction_difference(first: TorchEngine, second: MindSporeEngine, patches: np.ndarray) -> float:
    """Return the largest absolute difference of the engines' reconstructions."""
    return largest_difference(first.runtime().run(patches), second.runtime().run(patches))


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    print(json.dumps(main(Config(method="reference", precision="fp32", device_target="CPU", **settings))))
