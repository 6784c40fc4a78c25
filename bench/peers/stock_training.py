"""Measure stock PyTorch in one process. Usage: stock_training CASE REPEATS.

Measures each SSIM loss alone, the training step with the fastest of them, and the network alone with a mean squared
error.
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
    """Return a function that runs forward and backward pass of a loss and returns the loss."""
    x = reconstruction.clone().requires_grad_()

    def run() -> Tensor:
        x.grad = None
        value = loss(x, target)
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()

    return run


def training_step(loss: Loss, case: Case, patches: Tensor) -> Callable[[], Tensor]:
    """Return a function that runs one training step in float32 on prepared patches and returns the loss."""
    network = stock_network(case.table)
    optimizer = torch.optim.AdamW(network.parameters())

    def run() -> Tensor:
        optimizer.zero_grad()
        value = loss(network(patches), patches)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return value.detach()

    return run


def network_alone(case: Case, patches: Tensor) -> Callable[[], Tensor]:
    """Return a function that runs the network forward and backward with a mean squared error, bf16, channels-last."""
    network = stock_network(case.table).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs = patches.contiguous(memory_format=torch.channels_last)

    def run() -> Tensor:
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            reconstruction = network(inputs)
        value = functional.mse_loss(reconstruction.float(), inputs)
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()

    return run


def print_result(**result: object) -> None:
    """Print a result as one JSON line."""
    print(json.dumps(result), flush=True)


def main(case: Case, repeats: int) -> None:
    """Print the results of all losses, then those of the step and of the network."""
    target, reconstruction = (torch.from_numpy(images) for images in case.pair())
    timings = {}
    for name, make in STOCK_LOSSES.items():
        try:
            run = loss_alone(make(case.channels), reconstruction, target)
            timings[name] = timing(run, repeats)
        except Exception as error:  # a package that does not work here may raise anything
            print_result(loss=name, error=f"{type(error).__name__}: {error}".splitlines()[0])
        else:
            print_result(loss=name, value=float(run()), seconds=timings[name].seconds)
    if not timings:
        sys.exit("no stock SSIM loss works here")
    fastest = min(timings, key=lambda name: timings[name].median)
    step = training_step(STOCK_LOSSES[fastest](case.channels), case, target)
    print_result(step=fastest, seconds=timing(step, repeats).seconds)
    print_result(network="bf16", seconds=timing(network_alone(case, target), repeats).seconds)


if __name__ == "__main__":
    main(Case.read(sys.argv[1]), int(sys.argv[2]))
