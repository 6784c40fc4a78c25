"""The MindSpore engine, in subprocesses: importing the framework has side effects on the process."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from ssim_ae import Detector
from ssim_ae.detector.detector_file import read_detector

ROOT = Path(__file__).parents[2]
SETTINGS = {"im_resize": 64, "crop_size": 32, "z_dim": 8, "flc": 4, "batch_size": 16, "augment_num": 320, "stride": 16}

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not find_spec("mindspore"), reason="MindSpore is not installed: pip install mindspore"),
]


def run(*command, **variables: str) -> str:
    program = [sys.executable, "-W", "ignore", *map(str, command)]
    done = subprocess.run(program, capture_output=True, text=True, env=os.environ | variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def options(**changes) -> list[str]:
    settings = SETTINGS | {"precision": "fp32", "device_target": "CPU", "engine": "mindspore"} | changes
    return [f"--{key}={value}" for key, value in settings.items()]


@pytest.mark.parametrize(
    "changes", [{}, {"illumination_std": 0.1}, {"grayscale": True, "crop_size": 64, "im_resize": 80}]
)
def test_both_engines_agree(changes):
    differences = json.loads(run(Path(__file__).with_name("engine_parity.py"), json.dumps(SETTINGS | changes)))
    assert differences["patches"] < 1e-4
    assert differences["reconstruction"] < 1e-5
    assert differences["loss"] < 1e-3
    assert differences["reconstruction_after"] < 1e-3
    assert differences["held_out_loss"] < 1e-3
    assert differences["state"] == 0
    assert differences["repeated_loss"] == 0, "a restored state reaches the compiled graph"


def test_an_unsupported_optimizer_is_rejected_in_one_line(fabric_folder, tmp_path):
    arguments = ["train", fabric_folder, "--method=reference", "--runs", tmp_path, *options(optimizer="muon")]
    done = subprocess.run([sys.executable, "-m", "ssim_ae", *map(str, arguments)], capture_output=True, text=True)
    message = "optimizer muon: not supported by MindSpore; set optimizer adamw or engine torch"
    assert done.returncode and done.stderr.strip().endswith(message)
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())


def test_a_detector_runs_in_the_runtimes_of_other_frameworks(fabric_folder, tmp_path):
    run("-m", "ssim_ae", "train", fabric_folder, "--runs", tmp_path, *options(augment_num=64, epochs=2))
    folder = tmp_path / "twill-1"
    file = read_detector(folder / "detector.safetensors")
    assert file.provenance.device == "CPU fp32, MindSpore" and "mindspore" in file.provenance.versions
    image = next((fabric_folder / "test" / "good").iterdir())
    scores = [Detector.load(folder, runtime=name).inspect(image).score for name in ("torch", "onnxruntime")]
    line = run("-m", "ssim_ae", "predict", folder, image, "--runtime", "mindspore")
    assert [*scores, float(line.split()[1])] == pytest.approx([scores[0]] * 3, abs=2e-4)


def test_a_training_in_torch_starts_from_weights_of_mindspore(fabric_folder, tmp_path):
    run("-m", "ssim_ae", "train", fabric_folder, "--runs", tmp_path, *options(augment_num=64, epochs=2))
    weights = read_detector(tmp_path / "twill-1" / "detector.safetensors").weights
    torch_options = options(augment_num=64, epochs=1, engine="torch", method="reference")
    more = [f"--load_ckpt_path={tmp_path / 'twill-1'}", "--lr=1e-9", *torch_options]
    run("-m", "ssim_ae", "train", fabric_folder, "--runs", tmp_path, *more)
    after = read_detector(tmp_path / "twill-2" / "detector.safetensors").weights
    assert all(np.allclose(weights[name], after[name], atol=1e-6) for name in weights)


def test_two_workers_give_the_losses_of_one(fabric_folder, tmp_path):
    arguments = [fabric_folder, *options(augment_num=64, epochs=2, run_eval=False)]
    run("-m", "ssim_ae", "train", *arguments, "--runs", tmp_path / "one")
    launcher = [Path(sys.executable).with_name("msrun"), "--worker_num=2", "--local_worker_num=2", "--join=True"]
    launcher += ["--master_port=8127", f"--log_dir={tmp_path / 'logs'}", ROOT / "train.py"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    run(*launcher, *arguments, "--distribute=True", "--runs", tmp_path / "two", PATH=path)
    histories = [(tmp_path / name / "twill-1" / "history.csv").read_text().splitlines()[1:] for name in ("one", "two")]
    losses = [[float(value) for line in lines for value in line.split(",")[2:4]] for lines in histories]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_loss_falls_in_every_precision(fabric_folder, tmp_path, precision):
    training_options = options(precision=precision, augment_num=320, epochs=3, run_eval=False)
    run("-m", "ssim_ae", "train", fabric_folder, "--runs", tmp_path, *training_options)
    lines = (tmp_path / "twill-1" / "history.csv").read_text().splitlines()[1:]
    losses = [float(line.split(",")[2]) for line in lines]
    assert losses[-1] < losses[0] - 1e-4
    file = read_detector(tmp_path / "twill-1" / "detector.safetensors")
    assert file.provenance.device.startswith(f"CPU {precision}")


def test_bf16_is_rejected_on_a_cpu(fabric_folder, tmp_path):
    arguments = [fabric_folder, "--runs", tmp_path, *options(precision="bf16")]
    done = subprocess.run([sys.executable, "-m", "ssim_ae", "train", *arguments], capture_output=True, text=True)
    assert (
        done.returncode == 2 and "precision bf16: MindSpore supports it on Ascend only" in done.stderr.splitlines()[-1]
    )


def test_distribute_without_msrun_is_rejected_in_one_line(fabric_folder, tmp_path):
    command = [sys.executable, "-m", "ssim_ae", "train", fabric_folder, "--runs", tmp_path, *options(distribute=True)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "distribute: True needs msrun" in done.stderr.splitlines()[-1]
