"""Training and inspection on real images and on the built-in data set. These tests take minutes: run with -m long."""

import subprocess
import sys

import pytest

from ssim_ae import Config, Detector, evaluate, train
from ssim_ae.demo import demo

SHORT = {"dataset_path": "", "augment_num": 2048, "epochs": 2, "batch_size": 32, "device_target": "CPU"}


def test_inspects_a_real_image(bottle, detector):
    found = detector.inspect(next((bottle / "test" / "good").iterdir()))
    assert found.heatmap.shape == (448, 448, 3)


@pytest.mark.long
def test_bottle_is_trained_on_good_images(bottle, tmp_path):
    """A short training at 128 px is worse than a long one, and much better than chance."""
    settings = {
        "method": "reference",
        "im_resize": 138,
        "crop_size": 128,
        "z_dim": 500,
        "p_rotate": 0,
        "bg_mask": "W",
        "percent": 95,
    }
    run = train(Config(**SHORT | settings | {"dataset_path": str(bottle), "epochs": 6}), runs=tmp_path)
    evaluation = evaluate(Detector.load(run.detector_path), run.dataset)
    assert len(evaluation.results) == 83
    assert evaluation.metrics["all"].image_auroc.value > 0.7
    assert evaluation.metrics["all"].pixel_auroc.value > 0.75


@pytest.mark.long
def test_the_demo_finds_the_defects(tmp_path):
    for _, evaluation in demo(tmp_path):
        metrics = evaluation.metrics["all"]
        assert min(metrics.ok.value, metrics.nok.value) >= 0.9
        assert metrics.pixel_auroc.value >= 0.97
    again = next(demo(tmp_path))[0]
    assert again.folder.name == "twill-2", "a second demo draws no images and overwrites no run"


@pytest.mark.long
def test_the_parallel_loss_of_gloo_workers_matches(bottle, tmp_path):
    """The loss of two workers equals that of one after a hundred steps on real images."""
    arguments = ["-m", "ssim_ae", "train", str(bottle), "--im_resize=64", "--crop_size=64", "--z_dim=32", "--flc=8"]
    arguments += [
        "--method=reference",
        "--batch_size=16",
        "--augment_num=400",
        "--epochs=4",
        "--precision=fp32",
        "--run_eval=False",
    ]
    losses = []
    for workers in (1, 2):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(workers)]
        runs = tmp_path / str(workers)
        subprocess.run([*torchrun, *arguments, "--runs", str(runs)], check=True, capture_output=True)
        rows = (next(runs.iterdir()) / "history.csv").read_text().splitlines()
        losses.append(float(rows[-1].split(",")[2]))
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
