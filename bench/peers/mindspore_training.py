"""The training step in MindSpore's graph mode: mindspore_training CASE REPEATS."""

import json
import sys

import mindspore as ms
from mindspore import Tensor, nn

from measure import Work, timing
from peers.case import Case
from ssim_ae.network.architecture import LEAKY_SLOPE, Layer

ACTIVATIONS = {"leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE), "sigmoid": nn.Sigmoid, "linear": nn.Identity}


def network_of(table: tuple[Layer, ...]) -> nn.SequentialCell:
    """Return the layers one after the other."""
    cells = []
    for layer in table:
        kind = nn.Conv2d if layer.kind == "conv" else nn.Conv2dTranspose
        ends, window = (layer.in_channels, layer.out_channels), (layer.kernel, layer.stride)
        cells.append(kind(*ends, *window, pad_mode="pad", padding=layer.padding, has_bias=True))
        cells.append(ACTIVATIONS[layer.activation]())
    return nn.SequentialCell(cells)


def step_of(case: Case) -> Work:
    """Return the work of one training step on ready patches; it waits for the loss."""
    network, ssim = network_of(case.table), nn.SSIM()
    optimizer = nn.AdamWeightDecay(network.trainable_params(), learning_rate=1e-3, weight_decay=1e-2)
    patches = Tensor(case.pair()[0])

    def loss(patches: Tensor) -> Tensor:
        return 1 - ssim(network(patches), patches).mean()

    gradient = ms.value_and_grad(loss, None, optimizer.parameters)

    @ms.jit
    def step(patches: Tensor) -> Tensor:
        value, gradients = gradient(patches)
        optimizer(gradients)
        return value

    return lambda: step(patches).asnumpy()


def main(case: Case, repeats: int) -> None:
    """Print one line; the warm-up compiles the graph."""
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    step = timing(step_of(case), repeats)
    print(json.dumps({"version": ms.__version__, "seconds": step.seconds}), flush=True)


if __name__ == "__main__":
    main(Case.read(sys.argv[1]), int(sys.argv[2]))
