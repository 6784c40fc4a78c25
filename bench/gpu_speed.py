"""Measurements of gpu.py: training and inspection on the device, against stock PyTorch."""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from gpu_result import Plan, Result
from measure import timing
from peers.case import Case
from peers.stock_losses import STOCK_LOSSES, Loss
from peers.stock_network import stock_network
from ssim_ae import Config, Detector, evaluate, train
from ssim_ae.methods.method import Method
from workload import (
    config_of,
    config_of_method,
    engine_of,
    fabric_data_set,
    recorded_rate,
    step_of,
    trained_methods,
    untrained_detector,
)

PEAK_SIDE = 8192  # of the matrices whose product is the measured peak
STEPS = 20  # per repeat: the device is waited for once
GRAY_TARGET, COLOR_TARGET = 115_000, 18_000  # patches/s: 50 times the reference's on an Ascend 910
STOCK_TARGET = 5  # times as fast as stock PyTorch
REPAIR_TARGET = 60  # seconds of the default training
REFERENCE_RATES = "90 / 98.4 / 96.4"  # ok / nok / avg of the reference on bottle, with its own thresholds
INSPECTION_TARGET = 600  # images/s: EfficientAD-S


class _Rate(NamedTuple):
    """Patches per second, as a number and as text with minimum and maximum."""

    patches: float
    text: str


def machine(plan: Plan) -> Iterator[Result]:
    """Describe the device and measure its peak of bf16 matrix products."""
    if plan.device.type == "cuda":
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        yield Result.measured(
            "device", torch.cuda.get_device_name(), note=f"{memory:.0f} GiB, CUDA {torch.version.cuda}"
        )
    yield Result.measured("bf16 matrix product", f"{_peak(plan) / 1e12:.3g} TFLOP/s")


def steps(plan: Plan) -> Iterator[Result]:
    """Measure training steps of the reference's networks, and the same in stock PyTorch."""
    gray = Case(crop_size=128, channels=1, z_dim=100, flc=32, batch=1, im_resize=256)
    color = Case(crop_size=256, channels=3, z_dim=500, flc=32, batch=1, im_resize=266)
    peak = _peak(plan)
    for case, batches, target in ((gray, plan.gray_batches, GRAY_TARGET), (color, plan.color_batches, COLOR_TARGET)):
        if plan.device.type == "cpu":
            case = case._replace(crop_size=32, z_dim=8, flc=4, im_resize=42)
        operations = _operations(case)
        rates = {batch: _step_rate(plan, case._replace(batch=batch)) for batch in batches}
        best = max(rates, key=lambda batch: rates[batch].patches)
        for batch, rate in rates.items():
            name, share = (
                f"step, {case._replace(batch=batch).name}",
                f"{rate.patches * operations / peak:.1%} of the peak",
            )
            if batch == best:
                yield Result.measured(name, rate.text, f"≥ {target:,}", rate.patches >= target, share)
            else:
                yield Result.measured(name, rate.text, note=share)
        yield _compared_with_stock(plan, case._replace(batch=best), rates[best])


def _compared_with_stock(plan: Plan, case: Case, ours: _Rate) -> Result:
    """Return how many times as fast as stock PyTorch a step is."""
    name = f"step, {case.name}, relative to stock PyTorch"
    stock = {name: _rate(plan, case, step) for name, step in _stock_steps(plan, case)}
    if not stock:
        return Result.measured(name, "not measured", note=f"none of {', '.join(STOCK_LOSSES)} is installed")
    ratio = ours.patches / max(rate.patches for rate in stock.values())
    note = "; ".join(f"{name} {rate.text}" for name, rate in stock.items())
    return Result.measured(name, f"{ratio:.3g} times as fast", f"≥ {STOCK_TARGET}", ratio >= STOCK_TARGET, note)


def _step_rate(plan: Plan, case: Case) -> _Rate:
    config = config_of(case, device_target=plan.device_target)
    return _rate(plan, case, step_of(engine_of(config), config))


def repair_training(plan: Plan) -> Iterator[Result]:
    """Measure the default training of `repair`."""
    with tempfile.TemporaryDirectory() as scratch:
        data_set = plan.images or str(fabric_data_set(Path(scratch), count=plan.training_images, size=plan.side))
        settings: dict[str, Any] = (
            {} if plan.device.type == "cuda" else {"im_resize": plan.side, "crop_size": plan.crop_size, "flc": 4}
        )
        config = Config(
            method="repair",
            dataset_path=data_set,
            device_target=plan.device_target,
            augment_num=plan.repair_patches,
            run_eval=False,
            drawn_defects=0,
            **settings,
        )
        start = time.perf_counter()
        run = train(config, runs=Path(scratch) / "runs")
        seconds = time.perf_counter() - start
        note = f"{recorded_rate(run.folder):,.0f} patches/s"
    yield Result.measured(
        "default training of repair", f"{seconds:.1f} s", f"≤ {REPAIR_TARGET} s", seconds <= REPAIR_TARGET, note
    )


def reference_training(plan: Plan) -> Iterator[Result]:
    """Train as the reference does, for its 200 epochs, and evaluate with its thresholds."""
    with tempfile.TemporaryDirectory() as scratch:
        data_set = plan.images or str(fabric_data_set(Path(scratch), count=plan.training_images, size=plan.side))
        settings: dict[str, Any] = {
            "crop_size": 256,
            "im_resize": 266,
            "z_dim": 500,
            "batch_size": 128,
            "augment_num": 10_000,
        }
        if plan.device.type == "cpu":
            settings = {"crop_size": 32, "im_resize": 42, "z_dim": 8, "flc": 4, "batch_size": 4, "augment_num": 8}
        config = Config(
            method="reference",
            dataset_path=data_set,
            device_target=plan.device_target,
            epochs=plan.reference_epochs,
            schedule="constant",
            holdout=0.0,
            threshold="percent",
            run_eval=False,
            drawn_defects=0,
            **settings,
        )
        start = time.perf_counter()
        run = train(config, runs=Path(scratch) / "runs")
        minutes = (time.perf_counter() - start) / 60
        rates = evaluate(Detector.load(run.detector_path), data_set).reference_line()
    name = f"the reference's training, {plan.reference_epochs} epochs"
    yield Result.measured(name, f"{minutes:.1f} minutes", note=f"{rates}; published, on bottle: {REFERENCE_RATES}")


def inspection_rates(plan: Plan) -> Iterator[Result]:
    """Measure networks on the device, with both copies, and whole inspections of decoded images."""
    for method in trained_methods():
        for side in plan.inspected_sides:
            yield from _inspection_rates(plan, method, side)


def _inspection_rates(plan: Plan, method: Method, side: int) -> Iterator[Result]:
    rng = np.random.default_rng(0)
    sizes: dict[str, Any] = {"im_resize": side, "crop_size": plan.crop_size, "stride": plan.crop_size}
    config = config_of_method(method.name, device_target=plan.device_target, flc=plan.channels_scale, **sizes)
    with tempfile.TemporaryDirectory() as folder:
        path = untrained_detector(config, Path(folder) / "detector.safetensors")
        detector = Detector.load(path, runtime="torch", device_target=plan.device_target)
    input_side = side if method.inspects_whole_image else plan.crop_size
    for batch in (1, 64):
        inputs = rng.random((batch, config.channels, input_side, input_side), np.float32)
        rate = timing(partial(detector.runtime.run, inputs), plan.repeats).rate(batch, "inputs")
        yield Result.measured(f"network of {method.name}, {input_side} px, batch {batch}", rate)
    image = rng.integers(0, 256, (side, side, 3), np.uint8)
    whole = timing(partial(detector.inspect, image), plan.repeats)
    yield Result.measured(
        f"inspection with {method.name}, {side} px, one at a time",
        whole.rate(1, "images"),
        f"≥ {INSPECTION_TARGET}/s",
        1 / whole.median >= INSPECTION_TARGET,
    )


def _rate(plan: Plan, case: Case, step: Callable[[], object]) -> _Rate:
    for _ in range(5):  # the first steps choose kernels and are captured
        step()

    def several() -> None:
        for _ in range(STEPS):
            step()
        plan.wait()

    measured = timing(several, plan.repeats)
    patches = STEPS * case.batch
    return _Rate(patches / measured.median, measured.rate(patches, "patches"))


def _stock_steps(plan: Plan, case: Case) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield training steps in stock PyTorch with each SSIM loss that is installed, in float32 and in bf16."""
    patches = torch.from_numpy(case.pair()[0]).to(plan.device)
    for name, make in STOCK_LOSSES.items():
        try:
            loss = make(case.channels)
            loss(patches[:2], patches[:2])
        except Exception:  # a package that is missing or does not work may raise anything
            continue
        for precision in ("float32", "bf16"):
            yield f"{name} {precision}", _stock_step(plan, case, loss, patches, precision)


def _stock_step(plan: Plan, case: Case, loss: Loss, patches: torch.Tensor, precision: str) -> Callable[[], object]:
    network = stock_network(case.table).to(plan.device)
    if precision == "bf16":
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters())

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(plan.device.type, torch.bfloat16, enabled=precision == "bf16"):
            reconstruction = network(patches)
        loss(reconstruction.float(), patches).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _operations(case: Case) -> int:
    """Return the floating-point operations of the network for a patch, forward and backward."""
    network = stock_network(case.table)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, case.channels, case.crop_size, case.crop_size)).sum().backward()
    return counter.get_total_flops()


def _peak(plan: Plan) -> float:
    """Return the measured rate of products of large bf16 matrices, FLOP/s."""
    side = PEAK_SIDE if plan.device.type == "cuda" else 64
    matrix = torch.randn(side, side, device=plan.device, dtype=torch.bfloat16)

    def several() -> None:
        for _ in range(STEPS):
            functional.linear(matrix, matrix)
        plan.wait()

    return STEPS * 2 * side**3 / timing(several, plan.repeats).median
