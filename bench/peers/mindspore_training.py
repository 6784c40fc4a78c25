"""Measure the training step in MindSpore's graph mode. Usage: mindspore_training CASE REPEATS."""

import json
import sys

import mindspore as ms
from mindspore import Tensor, nn

from measure import Function, timing
from peers.case import Case
from ssim_ae.network.architecture import LEAKY_SLOPE, Layer

ACTIVATIONS = {"leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE), "sigmoid": nn.Sigmoid, "linear": nn.Identity}


def network_of(table: tuple[Layer, ...]) -> nn.SequentialCell:
    """Return the layers of a table in sequence."""
    cells = []
    for layer in table:
        kind = nn.Conv2d if layer.kind == "conv" else nn.Conv2dTranspose
        shape = (layer.in_channels, layer.out_channels, layer.kernel, layer.stride)
        cells.append(kind(*shape, pad_mode="pad", padding=layer.padding, has_bias=True))
        cells.append(ACTIVATIONS[layer.activation]())
    return nn.SequentialCell(cells)


def step_of(case: Case) -> Function:
    """Return a function that runs one training step on prepared patches and waits for the loss."""
    network, ssim = network_of(case.table), nn.SSIM()
    optimizer = nn.AdamWeightDecay(network.trainable_params(), learning_rate=1e-3, weight_decay=1e-2)
    patches = Tensor(case.pair()[0])

    def loss(patches: Tensor) -> Tensor:
        return 1 - ssim(network(patches), patches).mean()

    loss_and_gradients = ms.value_and_grad(loss, None, optimizer.parameters)

    @ms.jit  # type: ignore[untyped-decorator]
    def step(patches: Tensor) -> Tensor:
        value, gradients = loss_and_gradients(patches)
        optimizer(gradients)
        return value

    return lambda: step(patches).asnumpy()


def main(case: Case, repeats: int) -> None:
    """Print version and durations as one JSON line. The warm-up compiles the graph."""
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    step = timing(step_of(case), repeats)
    print(json.dumps({"version": ms.__version__, "seconds": step.seconds}), flush=True)


if __name__ == "__main__":
    main(Case.read(sys.argv[1]), int(sys.argv[2]))
