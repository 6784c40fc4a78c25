"""Checks of gpu.py: results on the device equal those of the CPU, and nothing is lost."""

import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_result import Plan, Result
from ssim_ae import Config, Detector
from workload import batches_of, config_of_method, engine_of, fabric_data_set, trained_methods, untrained_detector

STEPS = 8  # of the comparison of losses: the first few run one by one, the others as a CUDA graph
MAX_LOSS_DIFFERENCE = {"fp32": 1e-4, "bf16": 2e-2}
MAX_MAP_DIFFERENCE = 1e-4
INSPECTED_IMAGES = 16
WARM_UP_STEPS = 5  # in which a step may wait: it is captured


def losses(plan: Plan) -> Iterator[Result]:
    """Compare the losses of the CPU and the device, step by step from the same weights on the same batches."""
    for method in trained_methods():
        for precision, maximum in MAX_LOSS_DIFFERENCE.items():
            config = config_of_check(plan, method=method.name, precision=precision, batch_size=8, augment_num=8 * STEPS)
            ours, theirs = engine_of(config.replace(device_target="CPU")), engine_of(config)
            largest = 0.0
            for batch in batches_of(ours, config):
                theirs.load_weights(ours.weights(), "the CPU")
                expected, actual = (float(engine.step(batch, 1e-3)) for engine in (ours, theirs))
                largest = max(largest, abs(expected - actual))
            yield Result.within(f"loss of {method.name} in {precision}, CPU and {plan.device}", largest, maximum)


def inspection(plan: Plan) -> Iterator[Result]:
    """Compare the inspection by PyTorch on the device with that by ONNX Runtime on the CPU."""
    images = np.random.default_rng(0).integers(0, 256, (INSPECTED_IMAGES, plan.side, plan.side, 3), np.uint8)
    for method in trained_methods():
        with tempfile.TemporaryDirectory() as folder:
            path = untrained_detector(config_of_check(plan, method=method.name), Path(folder) / "detector.safetensors")
            on_device = Detector.load(path, runtime="torch", device_target=plan.device_target)
            on_cpu = Detector.load(path, runtime="onnxruntime", device_target="CPU")
            pairs = [[one.residuals(image).maps for one in (on_device, on_cpu)] for image in images]
            verdicts = [[one.inspect(image).verdict for one in (on_device, on_cpu)] for image in images]
        largest = max(float(np.abs(first - second).max()) for first, second in pairs)
        yield Result.within(f"residual maps of {method.name}, PyTorch and ONNX Runtime", largest, MAX_MAP_DIFFERENCE)
        different = sum(first != second for first, second in verdicts)
        yield Result.within(f"verdicts of {method.name} that differ", different, 0, f"{len(verdicts)} images")


def waiting(plan: Plan) -> Iterator[Result]:
    """Check that training steps do not wait for the device. Only CUDA can tell."""
    for method in trained_methods():
        config = config_of_check(plan, method=method.name, batch_size=8, augment_num=8 * STEPS)
        engine = engine_of(config)
        batches = batches_of(engine, config)
        for batch in batches[:WARM_UP_STEPS]:
            engine.step(batch, 1e-3)
        name = f"steps of {method.name} that wait for the device"
        if plan.device.type == "cuda":
            torch.cuda.set_sync_debug_mode("error")
        try:
            for batch in batches[WARM_UP_STEPS:]:
                engine.step(batch, 1e-3)
        except RuntimeError as error:
            yield Result(name, str(error).splitlines()[0], "none", met=False)
        else:
            yield Result(name, "none", "none", met=True)
        finally:
            if plan.device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")


def resume(plan: Plan) -> Iterator[Result]:
    """Kill a training and resume it."""
    for method in trained_methods():
        with tempfile.TemporaryDirectory() as scratch:
            data_set = fabric_data_set(Path(scratch), count=8, size=plan.side)
            config = config_of_check(
                plan,
                method=method.name,
                epochs=4,
                augment_num=plan.resumed_patches,
                checkpoint_seconds=plan.checkpoint_seconds,
                drawn_defects=0,
            )
            settings = config.model_dump(exclude_unset=True)
            options = [f"--{name}={value}" for name, value in settings.items()]
            command = [sys.executable, "-m", "ssim_ae", "train", str(data_set), *options, "--run_eval=False"]
            process = subprocess.Popen(command, cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            run = Path(scratch) / "runs" / f"{data_set.name}-1"
            while not (run / "checkpoint.safetensors").exists() and process.poll() is None:
                time.sleep(0.02)
            was_running = process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.communicate()
            resumed = _ssim_ae(Path(scratch), "train", "--resume", str(run))
            history = list(csv.DictReader((run / "history.csv").open(newline=""))) if not resumed.returncode else []
        finite = all(np.isfinite(float(row["loss"])) for row in history)
        yield Result(
            f"{method.name}: killed, then resumed",
            f"{len(history)} of {config.epochs} epochs in the history",
            met=len(history) == config.epochs and finite,
            note="" if was_running else "it was over before it could be killed",
        )


def errors(plan: Plan) -> Iterator[Result]:
    """Check that faults of the device are one line and status 2."""
    with tempfile.TemporaryDirectory() as scratch:
        data_set = fabric_data_set(Path(scratch), count=8, size=plan.side)
        options = ["train", str(data_set), "--method", "reference", "--device_target", "GPU", "--run_eval=False"]
        hidden = _ssim_ae(Path(scratch), *options, CUDA_VISIBLE_DEVICES="")
        yield _one_line("no CUDA device", hidden, "no CUDA device found")
        if plan.device.type == "cuda":
            large = ["--crop_size=512", "--im_resize=512", "--flc=256", "--batch_size=4096", "--augment_num=4096"]
            yield _one_line("too little memory", _ssim_ae(Path(scratch), *options, *large), "memory of the device")


def processes(plan: Plan) -> Iterator[Result]:
    """Train in two processes (gloo) and in one (nccl) on the same device."""
    script = str(Path(__file__).with_name("gpu_worker.py"))
    runs = [("gloo", 2)] + [("nccl", 1)] * (plan.device.type == "cuda")
    for backend, workers in runs:
        environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(29_500 + workers), "WORLD_SIZE": str(workers)}
        command = [sys.executable, script, backend, plan.device_target]
        started = [
            subprocess.Popen(
                command,
                env=os.environ | environment | {"RANK": str(rank), "DEVICE_ID": "0"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(workers)
        ]
        ends = [process.communicate() for process in started]
        losses = {printed.strip() for printed, _ in ends}
        failed = [
            text.strip().splitlines()[-1]
            for process, (_, text) in zip(started, ends, strict=True)
            if process.returncode
        ]
        name = f"{workers} {'process' if workers == 1 else 'processes'}, {backend}: equal losses"
        yield Result(name, ", ".join(sorted(losses)), met=not failed and len(losses) == 1, note="; ".join(failed))


def config_of_check(plan: Plan, method: str, **settings: Any) -> Config:
    sizes: dict[str, Any] = {"im_resize": plan.side, "crop_size": plan.crop_size, "flc": plan.channels_scale}
    return config_of_method(method, **{**sizes, "device_target": plan.device_target, **settings})


def _ssim_ae(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ssim_ae", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | variables)


def _one_line(name: str, done: subprocess.CompletedProcess[str], expected: str) -> Result:
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith("note:")]
    met = done.returncode == 2 and expected in (lines[-1:] or [""])[0] and "Traceback" not in done.stderr
    return Result(name, (lines[-1:] or ["nothing printed"])[0], f"status 2: … {expected} …", met=met)
