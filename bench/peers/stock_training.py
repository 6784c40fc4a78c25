"""Stock PyTorch, in one process: stock_training CASE REPEATS.

Every SSIM loss alone, the training step with the fastest of them, and the network alone with a mean-square loss.
"""

import json
import sys
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from measure import timing
from peers.case import Case
from peers.stock_losses import STOCK_LOSSES, Loss
from peers.stock_network import stock_network


def loss_alone(loss: Loss, reconstruction: Tensor, target: Tensor) -> Callable[[], Tensor]:
    """Return the work of one loss forward and backward; it gives the loss."""
    x = reconstruction.clone().requires_grad_()

    def work() -> Tensor:
        x.grad = None
        value = loss(x, target)
        value.backward()
        return value.detach()

    return work


def training_step(loss: Loss, case: Case, patches: Tensor) -> Callable[[], Tensor]:
    """Return the work of one training step, float32, on ready patches."""
    network = stock_network(case.table)
    optimizer = torch.optim.AdamW(network.parameters())

    def work() -> Tensor:
        optimizer.zero_grad()
        value = loss(network(patches), patches)
        value.backward()
        optimizer.step()
        return value.detach()

    return work


def network_alone(case: Case, patches: Tensor) -> Callable[[], Tensor]:
    """Return the work of forward and backward with a mean-square loss, in bf16 and channels-last."""
    network = stock_network(case.table).to(memory_format=torch.channels_last)
    inputs = patches.contiguous(memory_format=torch.channels_last)

    def work() -> Tensor:
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            reconstruction = network(inputs)
        value = functional.mse_loss(reconstruction.float(), inputs)
        value.backward()
        return value.detach()

    return work


def tell(**answer: object) -> None:
    """Print one line."""
    print(json.dumps(answer), flush=True)


def main(case: Case, repeats: int) -> None:
    """Tell of every loss, then of the step and the network."""
    target, reconstruction = (torch.from_numpy(images) for images in case.pair())
    seconds = {}
    for name, make in STOCK_LOSSES.items():
        try:
            work = loss_alone(make(case.channels), reconstruction, target)
            seconds[name] = timing(work, repeats)
        except Exception as error:  # whatever a package raises that does not fit here
            tell(loss=name, error=f"{type(error).__name__}: {error}".splitlines()[0])
        else:
            tell(loss=name, value=float(work()), seconds=seconds[name].seconds)
    if not seconds:
        sys.exit("no stock SSIM loss could be used")
    fastest = min(seconds, key=lambda name: seconds[name].median)
    step = training_step(STOCK_LOSSES[fastest](case.channels), case, target)
    tell(step=fastest, seconds=timing(step, repeats).seconds)
    tell(network="bf16", seconds=timing(network_alone(case, target), repeats).seconds)


if __name__ == "__main__":
    main(Case.read(sys.argv[1]), int(sys.argv[2]))
