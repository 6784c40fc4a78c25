"""Print how far MindSpore's engine and PyTorch's are apart, as JSON: started in a process of its own."""

import json
import sys

import numpy as np

from ssim_ae import Config
from ssim_ae.training.patch_sampling import epoch_patches
from ssim_ae.detector.detector_file import layer_table
from ssim_ae.synthetic import fabric
from ssim_ae.training.mindspore_engine import MindSporeEngine
from ssim_ae.training.torch_engine import TorchEngine

STEPS = 20


def largest(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)


def main(config: Config) -> dict[str, float]:
    """Twenty steps from the same weights on the same batches."""
    cloths = [fabric.draw("twill", size=config.im_resize, seed=seed)[0] for seed in range(6)]
    stack = np.stack([np.moveaxis(cloth, 2, 0)[: config.channels] for cloth in cloths])
    table = layer_table(config)
    ours, theirs = (engine(config, table, stack, stack) for engine in (TorchEngine, MindSporeEngine))
    ours.load_weights(theirs.weights(), "MindSpore's")
    picks = epoch_patches(config, len(stack), 0)
    patches = ours.patches(picks.take(slice(0, 64)))
    differences = {
        "patches": float(np.abs(patches - theirs.patches(picks.take(slice(0, 64)))).max()),
        "reconstruction": apart(ours, theirs, patches),
        "loss": 0.0,
    }
    for step in range(STEPS):
        batch = picks.take(slice(step * config.batch_size, (step + 1) * config.batch_size))
        losses = [float(engine.step(batch, config.lr)) for engine in (ours, theirs)]
        differences["loss"] = max(differences["loss"], abs(losses[0] - losses[1]))
    differences["reconstruction_after"] = apart(ours, theirs, patches)
    differences["held_out_loss"] = abs(
        ours.held_out_loss(picks.take(slice(0, 40))) - theirs.held_out_loss(picks.take(slice(0, 40)))
    )
    handed_over = theirs.state()
    ours.load_state(handed_over, "MindSpore's")
    differences["state"] = largest(handed_over, ours.state())
    theirs.load_state(ours.state(), "PyTorch's")
    return differences


def apart(ours: TorchEngine, theirs: MindSporeEngine, patches: np.ndarray) -> float:
    """The largest difference of the reconstructions."""
    reconstructions = [engine.runtime().reconstruct(patches) for engine in (ours, theirs)]
    return float(np.abs(reconstructions[0] - reconstructions[1]).max())


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    print(json.dumps(main(Config(precision="fp32", device_target="CPU", **settings))))
