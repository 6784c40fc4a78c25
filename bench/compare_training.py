"""Speed of training, compared with stock PyTorch, with the network alone, and with MindSpore."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from measure import Timing, alternate, three_digits, timing
from peers.case import Case
from peers.environments import PeerError, run_peer, without_paths
from report import FASTER, Row, Target
from ssim_ae import train
from ssim_ae.network.torch_network import Autoencoder
from ssim_ae.network.torch_ssim import SSIMLoss
from workload import CPU, config_of, engine_of, fabric_data_set, recorded_rate, step_of

LOSS_TARGET = 10  # speedup of the SSIM loss over the fastest stock loss
NETWORK_TARGET = 1.15  # duration of a training step relative to the network alone
TRAIN_TARGET = 0.95  # speed of train relative to its steps alone
MINDSPORE_TARGET = 100  # speedup over MindSpore with default settings
MINDSPORE_AVX2_TARGET = 5  # speedup over MindSpore limited to AVX2
MINDSPORE_REPEATS = 2
TRAIN_EPOCHS = 3  # of the training whose history is read


def stock_pytorch_rows(case: Case, step_target: float, repeats: int) -> list[Row]:
    """Compare the training step, the SSIM loss, and the step against the network alone, with stock PyTorch."""
    step_name, loss_name = f"training step, {case.name}", f"SSIM loss and gradient, {case.name}"
    network_name = f"training step vs. stock network alone in bf16, {case.name}"
    step = step_timing(case, repeats)
    run_loss = loss_and_gradient(case)
    loss = timing(run_loss, repeats)
    try:
        results = run_peer("torch", "stock_training", str(case), str(repeats))
    except PeerError as error:
        return [Row.not_measured(name, error) for name in (step_name, loss_name, network_name)]
    losses = {result["loss"]: result for result in results if "loss" in result}
    stock_step, stock_network = results[-2:]
    fastest = stock_step["step"]
    values = "; ".join(_describe_loss(result, run_loss()) for result in losses.values())
    step_note = f"the baseline uses the fastest stock loss, {fastest}"
    return [
        Row.faster(step_name, step, Timing.of(stock_step["seconds"]), step_target, step_note),
        Row.faster(loss_name, loss, Timing.of(losses[fastest]["seconds"]), LOSS_TARGET, values),
        Row.longer(network_name, step, Timing.of(stock_network["seconds"])),
    ]


def own_network_row(case: Case, repeats: int) -> Row:
    """Compare the training step with forward and backward pass of the same network with a mean squared error."""
    config = config_of(case)
    engine = engine_of(config)
    network = Autoencoder(case.table).to_device(CPU)
    patches = torch.from_numpy(case.pair()[0]).contiguous(memory_format=torch.channels_last)
    inputs = patches.to(engine.dtype)

    def network_alone() -> None:
        network.zero_grad()
        functional.mse_loss(network(inputs).float(), patches).backward()  # type: ignore[no-untyped-call]

    timings = alternate({"step": step_of(engine, config), "network": network_alone}, repeats)
    name = f"training step vs. its network alone, {case.name}"
    return Row.longer(name, timings["step"], timings["network"], NETWORK_TARGET)


def train_row(case: Case, seconds: float, images: int, repeats: int) -> Row:
    """Compare patches/s in the history of `train` with those of its steps alone, measured before and after."""
    before = step_timing(case, repeats)
    epoch_steps = math.ceil(seconds / before.median / TRAIN_EPOCHS)
    with tempfile.TemporaryDirectory() as scratch:
        data_set = fabric_data_set(Path(scratch), count=images, size=case.im_resize)
        settings = {"epochs": TRAIN_EPOCHS, "augment_num": epoch_steps * case.batch}
        run = train(config_of(case, dataset_path=str(data_set), **settings), runs=Path(scratch) / "runs")
        rate = recorded_rate(run.folder)
    steps = Timing(before.seconds + step_timing(case, repeats).seconds)
    return Row(
        name=f"train vs. its training steps alone, {case.name}",
        ours=f"{three_digits(rate)} patches/s",
        baseline=steps.rate(case.batch, "patches"),
        ratio=rate * steps.median / case.batch,
        unit=FASTER,
        target=Target("≥", TRAIN_TARGET),
    )


def mindspore_rows(case: Case, slow_batch: int, repeats: int) -> list[Row]:
    """Compare patches/s with MindSpore, with its default settings and limited to AVX2.

    On CPUs with bf16 instructions its default takes most of a second per patch, so it gets a smaller batch.
    """
    step = step_timing(case, repeats)
    slow_case = case._replace(batch=slow_batch)
    avx2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    return [
        _mindspore_row(case, step, slow_case, "with default settings", MINDSPORE_TARGET),
        _mindspore_row(case, step, case, "limited to AVX2", MINDSPORE_AVX2_TARGET, avx2),
    ]


def step_timing(case: Case, repeats: int) -> Timing:
    """Return the timing of a training step, which includes cutting its patches."""
    config = config_of(case)
    return timing(step_of(engine_of(config), config), repeats)


def loss_and_gradient(case: Case) -> Callable[[], float]:
    """Return a function that runs forward and backward pass of SSIMLoss in float32 and returns the loss."""
    target, reconstruction = (torch.from_numpy(images) for images in case.pair())
    reconstruction.requires_grad_()
    criterion = SSIMLoss(case.crop_size)

    def run() -> float:
        reconstruction.grad = None
        loss = criterion(reconstruction, target)
        loss.backward()
        return float(loss.detach())

    return run


def _mindspore_row(
    case: Case,
    step: Timing,
    mindspore_case: Case,
    variant: str,
    target: float,
    variables: dict[str, str] | None = None,
) -> Row:
    name = f"training vs. MindSpore {variant} at batch {mindspore_case.batch}, {case.name}"
    arguments = (str(mindspore_case), str(MINDSPORE_REPEATS))
    try:
        (result,) = run_peer("mindspore", "mindspore_training", *arguments, variables=variables)
    except PeerError as error:
        return Row.not_measured(name, error)
    mindspore = Timing.of(result["seconds"])
    return Row(
        name=name,
        ours=step.rate(case.batch, "patches"),
        baseline=mindspore.rate(mindspore_case.batch, "patches"),
        ratio=(case.batch / step.median) / (mindspore_case.batch / mindspore.median),
        unit=FASTER,
        target=Target("≥", target),
        note=f"MindSpore {result['version']} in graph mode",
    )


def _describe_loss(result: dict[str, Any], ours: float) -> str:
    if "error" in result:
        return f"{result['loss']} not measured ({without_paths(result['error'])})"
    duration = Timing.of(result["seconds"]).duration()
    return f"{result['loss']} {duration}, |difference| {abs(result['value'] - ours):.1e}"
