"""Training: ours against stock PyTorch, against our own network alone, and against MindSpore."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from measure import Timing, figure, in_turn, timing
from peers.case import Case
from peers.environments import PeerError, answers, without_places
from report import FASTER, Row, Target
from ssim_ae import train
from ssim_ae.network.torch_network import Autoencoder
from ssim_ae.network.torch_ssim import SSIMLoss
from workload import CPU, config_of, drawn_cloth, engine_of, recorded_rate, step_of

LOSS_TARGET, OWN_NETWORK_TARGET, WHOLE_TRAINING_TARGET = 10, 1.15, 0.95
RECORDED_EPOCHS = 3  # of the training whose history is read


def against_stock(case: Case, step_target: float, repeats: int) -> list[Row]:
    """Return our training step, our SSIM loss alone, and our step against the network alone: all to stock PyTorch's."""
    step_name, loss_name = f"training step, {case.name}", f"SSIM loss and gradient, {case.name}"
    network_name = f"whole step against the stock network alone in bf16, {case.name}"
    step = step_timing(case, repeats)
    gradient = loss_and_gradient(case)
    loss = timing(gradient, repeats)
    try:
        told = answers("torch", "stock_training", str(case), str(repeats))
    except PeerError as reason:
        return [Row.left_out(name, reason) for name in (step_name, loss_name, network_name)]
    losses = {answer["loss"]: answer for answer in told if "loss" in answer}
    stock_step, stock_network = told[-2:]
    fastest = stock_step["step"]
    values = "; ".join(_of_loss(answer, gradient()) for answer in losses.values())
    step_note = f"the stock loss is the fastest, {fastest}'s"
    return [
        Row.faster(step_name, step, Timing.of(stock_step["seconds"]), step_target, step_note),
        Row.faster(loss_name, loss, Timing.of(losses[fastest]["seconds"]), LOSS_TARGET, values),
        Row.longer(network_name, step, Timing.of(stock_network["seconds"])),
    ]


def against_own_network(case: Case, repeats: int) -> Row:
    """Return our whole step against forward and backward of our network with a mean-square loss."""
    config = config_of(case)
    engine = engine_of(config)
    network = Autoencoder(case.table).to_device(CPU)
    patches = torch.from_numpy(case.pair()[0]).contiguous(memory_format=torch.channels_last)
    inputs = patches.to(engine.dtype)

    def alone() -> None:
        network.zero_grad()
        functional.mse_loss(network(inputs).float(), patches).backward()

    timings = in_turn({"step": step_of(engine, config), "alone": alone}, repeats)
    name = f"whole step against our network alone, {case.name}"
    return Row.longer(name, timings["step"], timings["alone"], OWN_NETWORK_TARGET)


def whole_training(case: Case, seconds: float, images: int, repeats: int) -> Row:
    """Return the patches/s in the history of `train` against those of its steps alone, before and after."""
    before = step_timing(case, repeats)
    epoch_steps = math.ceil(seconds / before.median / RECORDED_EPOCHS)
    with tempfile.TemporaryDirectory() as scratch:
        cloth = drawn_cloth(Path(scratch), count=images, size=case.im_resize)
        settings = {"epochs": RECORDED_EPOCHS, "augment_num": epoch_steps * case.batch}
        run = train(config_of(case, dataset_path=str(cloth), **settings), runs=Path(scratch) / "runs")
        rate = recorded_rate(run.folder)
    alone = Timing(before.seconds + step_timing(case, repeats).seconds)
    return Row(
        name=f"train against its steps alone, {case.name}",
        ours=f"{figure(rate)} patches/s",
        other=alone.rate(case.batch, "patches"),
        ratio=rate * alone.median / case.batch,
        unit=FASTER,
        target=Target("≥", WHOLE_TRAINING_TARGET),
    )


def against_mindspore(case: Case, slow_batch: int, repeats: int) -> list[Row]:
    """Return our patches/s against MindSpore's as it comes, in a smaller batch, and kept to AVX2.

    On CPUs with bf16 instructions it takes most of a second a patch as it comes.
    """
    step = step_timing(case, repeats)
    slow = case._replace(batch=slow_batch)
    return [
        _against_mindspore(case, step, slow, "as it comes", 100),
        _against_mindspore(case, step, case, "kept to AVX2", 5, {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    ]


def step_timing(case: Case, repeats: int) -> Timing:
    """Return how long our training step takes, the cutting of its patches included."""
    config = config_of(case)
    return timing(step_of(engine_of(config), config), repeats)


def loss_and_gradient(case: Case) -> Callable[[], float]:
    """Return the work of our SSIM loss forward and backward, float32; it gives the loss."""
    target, reconstruction = (torch.from_numpy(images) for images in case.pair())
    reconstruction.requires_grad_()
    criterion = SSIMLoss(case.crop_size)

    def work() -> float:
        reconstruction.grad = None
        loss = criterion(reconstruction, target)
        loss.backward()
        return float(loss.detach())

    return work


def _against_mindspore(
    case: Case, step: Timing, theirs: Case, how: str, target: float, variables: dict[str, str] | None = None
) -> Row:
    name = f"training against MindSpore {how}, in batches of {theirs.batch}, {case.name}"
    try:
        (told,) = answers("mindspore", "mindspore_training", str(theirs), "2", variables=variables)
    except PeerError as reason:
        return Row.left_out(name, reason)
    other = Timing.of(told["seconds"])
    return Row(
        name=name,
        ours=step.rate(case.batch, "patches"),
        other=other.rate(theirs.batch, "patches"),
        ratio=(case.batch / step.median) / (theirs.batch / other.median),
        unit=FASTER,
        target=Target("≥", target),
        note=f"MindSpore {told['version']} in graph mode",
    )


def _of_loss(answer: dict[str, Any], ours: float) -> str:
    if "error" in answer:
        return f"{answer['loss']} left out ({without_places(answer['error'])})"
    return f"{answer['loss']} {Timing.of(answer['seconds']).duration()}, |difference| {abs(answer['value'] - ours):.1e}"
