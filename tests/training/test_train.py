import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ssim_ae import Config, Detector, InputError, train
from ssim_ae.calibration import calibrate, suspects
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.run_folder import version_paths
from ssim_ae.export.export import export
from ssim_ae.images.files import read_image
from ssim_ae.images.folders import content_hash, find_dataset
from ssim_ae.maps.normalization import NormalStatistics
from ssim_ae.storage import lock_folder
from ssim_ae.synthetic import fabric
from ssim_ae.training import loop
from ssim_ae.training.checkpoints import CHECKPOINT_NAME
from ssim_ae.training.good_images import held_out_indices, load_good_images
from ssim_ae.training.history import read_history
from ssim_ae.training.learner import Addition
from ssim_ae.training.recalibrate import recalibrate

SMALL = [
    "method=reference",
    "im_resize=64",
    "crop_size=32",
    "z_dim=8",
    "flc=4",
    "stride=16",
    "batch_size=16",
    "device_target=CPU",
]


def weights(run) -> dict[str, np.ndarray]:
    return read_detector(run.detector_path).weights


def equal(first, second) -> bool:
    return all(np.array_equal(first[name], second[name]) for name in first.keys() | second.keys())


def stop_after(monkeypatch, steps: int) -> None:
    """Interrupt the training after some steps, as Ctrl-C does."""
    learning_rate = loop.learning_rate
    remaining = iter(range(steps - 1))

    def rate(*arguments):
        if next(remaining, None) is None:
            os.kill(os.getpid(), signal.SIGINT)
        return learning_rate(*arguments)

    monkeypatch.setattr(loop, "learning_rate", rate)


def test_a_run_shows_itself_in_a_notebook(tiny_run):
    table = dataclasses.replace(tiny_run, folder=Path("runs/<a>"))._repr_html_()
    assert "runs/&lt;a&gt;" in table and f"{len(tiny_run.dataset.good)} of " in table and "finished" in table
    assert "--resume" in dataclasses.replace(tiny_run, finished=False)._repr_html_()


def test_a_run_writes_readable_files(tiny_run):
    files = {path.name for path in tiny_run.folder.iterdir()}
    assert files == {
        "config.yaml",
        "detector.safetensors",
        CHECKPOINT_NAME,
        "history.csv",
        "loss.png",
        "patches.png",
    }
    assert Config.read(tiny_run.folder / "config.yaml") == tiny_run.config
    rows = (tiny_run.folder / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + tiny_run.config.epochs and rows[0].startswith("epoch,steps,loss,held_out_loss")
    assert read_image(tiny_run.folder / "patches.png").shape == (8 * 32, 8 * 32, 3)


def test_the_held_out_loss_falls(tiny_config, tmp_path):
    run = train(tiny_config.replace(epochs=8, lr=1e-3), runs=tmp_path)
    losses = [float(row.split(",")[3]) for row in (run.folder / "history.csv").read_text().splitlines()[1:]]
    assert losses[-1] < 0.9 * losses[0]


def test_the_same_seed_gives_the_same_weights(tiny_config, tiny_run, tmp_path):
    assert equal(weights(train(tiny_config, runs=tmp_path)), weights(tiny_run))
    other = train(tiny_config.replace(seed=5), runs=tmp_path)
    assert not equal(weights(other), weights(tiny_run))


def test_test_images_are_not_used(tiny_run, fabric_folder):
    provenance = read_detector(tiny_run.detector_path).provenance
    used = provenance.training_images + provenance.held_out_images
    assert sorted(used) == sorted(content_hash(path) for path in (fabric_folder / "train" / "good").iterdir())
    assert len(provenance.held_out_images) == 2 == provenance.thresholds.held_out_images


@pytest.mark.parametrize("steps", [1, 3, 4, 6])
@pytest.mark.parametrize(
    "changes",
    [{"online_aug": False}, {"online_aug": True}, {"method": "repair", "optimizer": "muon", "illumination_std": 0.08}],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tiny_config, tmp_path, monkeypatch, steps, changes):
    config = tiny_config.replace(**changes)
    whole = train(config, runs=tmp_path / "whole")
    with monkeypatch.context() as patched:
        stop_after(patched, steps)
        part = train(config, runs=tmp_path / "part")
    assert not part.finished and part.detector_path.exists()
    resumed = train(config, resume=part.folder)
    assert resumed.finished and resumed.folder == part.folder
    assert equal(weights(resumed), weights(whole))

    def losses(run):
        return [row.split(",")[:5] for row in (run.folder / "history.csv").read_text().splitlines()]

    assert losses(resumed) == losses(whole)


def test_an_interrupted_run_has_a_usable_detector(tiny_config, tmp_path, monkeypatch, fabric_folder):
    stop_after(monkeypatch, 2)
    run = train(tiny_config, runs=tmp_path)
    image = next((fabric_folder / "test" / "good").iterdir())
    assert Detector.load(run.folder).inspect(image).score > 0


def test_the_method_repair_trains_exports_and_inspects(tiny_config, tmp_path, fabric_folder):
    run = train(tiny_config.replace(method="repair", epochs=3), runs=tmp_path)
    losses = [epoch.held_out_loss for epoch in read_history(run.folder)]
    assert losses[-1] < losses[0] and read_image(run.folder / "patches.png").shape[2] == 3
    image = next((fabric_folder / "test" / "hole").iterdir())
    exported = export(run.folder, tmp_path / "repair.onnx").path
    detectors = {"onnxruntime": run.folder, "torch": run.folder, "auto": exported}
    scores = [Detector.load(path, runtime=runtime).inspect(image).score for runtime, path in detectors.items()]
    assert scores == pytest.approx([scores[0]] * 3, rel=1e-4)


def test_thresholds_of_the_method_repair_are_estimated_from_all_good_images(tiny_config, tmp_path):
    run = train(tiny_config.replace(method="repair", epochs=1), runs=tmp_path)
    trained = read_detector(run.detector_path)
    origin = trained.provenance.thresholds
    assert (origin.held_out_images, origin.training_images) == (2, 8)
    assert "from 2 held-out and 8 training images" in str(origin)
    recalibrated, calibration = recalibrate(run.folder, None, {"threshold": "false_alarm_rate"})
    assert read_detector(recalibrated).thresholds == pytest.approx(trained.thresholds, rel=1e-4)
    assert calibration.origin == origin
    residuals = Detector.load(run.folder).residuals_all(sorted(run.dataset.good))
    assert np.allclose(NormalStatistics.fit(residuals).grids, trained.normal_statistics.grids, rtol=1e-2)


@pytest.mark.parametrize(
    ("turned", "is_part", "angles"), [(True, True, (150, 180)), (False, True, (5, 5)), (True, False, (5, 5))]
)
def test_an_automatic_angle_is_chosen_from_the_images(tiny_config, tmp_path, rng, turned, is_part, angles):
    stripes = np.arange(64)[:, None] // 4 % 2 * np.full((64, 64), 150)
    disk = np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 28
    (tmp_path / "data").mkdir()
    for number in range(60):
        pixels = np.roll(stripes, number, axis=0) + rng.integers(30, 100, (64, 64))
        image = Image.fromarray(pixels.astype(np.uint8)).rotate(rng.uniform(0, 360) * turned)
        shown = np.array(image) * (disk | (not is_part))
        Image.fromarray(shown.astype(np.uint8)).save(tmp_path / "data" / f"{number}.png")
    config = tiny_config.replace(dataset_path=str(tmp_path / "data"), method="repair", rotate_angle=None, epochs=1)
    run = train(config, runs=tmp_path)
    angle = read_detector(run.detector_path).config.rotate_angle
    assert angles[0] <= angle <= angles[1]
    assert Config.read(run.folder / "config.yaml").rotate_angle == angle, "a resumed run uses it as well"


def test_an_image_that_is_deleted_during_training_is_still_recorded(tiny_config, tmp_path, monkeypatch, fabric_folder):
    copy = tmp_path / "data"
    shutil.copytree(fabric_folder, copy)
    good = find_dataset(copy).good
    deleted = next(path for number, path in enumerate(good) if number not in held_out_indices(len(good), tiny_config))
    digest = content_hash(deleted)
    monkeypatch.setattr(loop, "learning_rate", lambda *_: deleted.unlink(missing_ok=True) or 1e-3)
    run = train(tiny_config.replace(dataset_path=str(copy)), runs=tmp_path / "runs")
    assert run.finished and not deleted.exists()
    assert digest in read_detector(run.detector_path).provenance.training_images


def test_resuming_with_other_images_is_an_error(tiny_run, tiny_config, tmp_path, fabric_folder):
    copy = tmp_path / "data"
    (copy / "good").mkdir(parents=True)
    for path in (fabric_folder / "train" / "good").iterdir():
        image = read_image(path).copy()
        image[0, 0] ^= 1
        Image.fromarray(image).save(copy / "good" / path.name)
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", CHECKPOINT_NAME):
        (run / name).write_bytes((tiny_run.folder / name).read_bytes())
    (run / "config.yaml").write_text(tiny_config.replace(dataset_path=str(copy)).to_yaml())
    with pytest.raises(InputError, match="the training images have changed"):
        train(tiny_config, resume=run)


def test_load_ckpt_path_starts_from_weights(tiny_config, tiny_run, tmp_path):
    config = tiny_config.replace(load_ckpt_path=str(tiny_run.detector_path), lr=1e-12, epochs=1, schedule="constant")
    warm = weights(train(config, runs=tmp_path))
    assert max(np.abs(warm[name] - value).max() for name, value in weights(tiny_run).items()) < 1e-8
    with pytest.raises(InputError, match=r"detector.safetensors: weight .* this network needs"):
        train(config.replace(z_dim=9), runs=tmp_path)


def test_without_holdout_the_last_fifth_sets_the_thresholds(tiny_config, tmp_path):
    run = train(tiny_config.replace(holdout=0, threshold="percent"), runs=tmp_path)
    provenance = read_detector(run.detector_path).provenance
    assert provenance.held_out_images == [] and len(provenance.training_images) == 10
    assert provenance.thresholds.held_out_images == 2


def test_aug_dir_contains_the_patches_and_is_never_overwritten(tiny_config, tmp_path):
    target = tmp_path / "patches"
    config = tiny_config.replace(aug_dir=str(target))
    train(config, runs=tmp_path)
    assert len(list(target.iterdir())) == config.augment_num
    assert read_image(target / "00000.png").shape == (32, 32, 3)
    with pytest.raises(InputError, match="aug_dir is not empty"):
        train(config, runs=tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset_path": ""}, "no folder given"),
        ({"dataset_path": "/nowhere"}, "/nowhere: no such folder"),
        ({"distribute": True}, "torchrun"),
        ({"method": "repair", "engine": "mindspore"}, "engine mindspore does not support method repair"),
        ({"device_target": "Ascend"}, "use --device_target=CPU"),
        ({"load_ckpt_path": "none"}, "none: no such file"),
    ],
)
def test_invalid_settings_are_an_error_in_one_line(tiny_config, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        train(tiny_config.replace(**changes), runs=tmp_path)
    assert not list(tmp_path.glob("*/detector.safetensors"))


def test_resuming_with_other_settings_is_an_error(tiny_run, tmp_path):
    for name in ("config.yaml", CHECKPOINT_NAME):
        (tmp_path / name).write_bytes((tiny_run.folder / name).read_bytes())
    (tmp_path / "config.yaml").write_text(tiny_run.config.replace(epochs=9).to_yaml())
    with pytest.raises(InputError, match=r"written with epochs 2, not 9"):
        train(tiny_run.config, resume=tmp_path)


def test_temporary_files_of_a_killed_run_are_removed_on_resume(tiny_run, tmp_path):
    for name in ("config.yaml", CHECKPOINT_NAME):
        (tmp_path / name).write_bytes((tiny_run.folder / name).read_bytes())
    (tmp_path / ".checkpoint.safetensors.abc.ssim-ae.part").write_bytes(b"half")
    assert equal(weights(train(tiny_run.config, resume=tmp_path)), weights(tiny_run))
    assert not list(tmp_path.glob(".*"))


def test_two_trainings_in_one_folder_do_not_mix(tiny_run):
    with lock_folder(tiny_run.folder), pytest.raises(InputError, match="another process is writing into it"):
        train(tiny_run.config, resume=tiny_run.folder)


def test_a_loss_that_is_not_finite_is_an_error(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "learning_rate", lambda *_: float("inf"))
    with pytest.raises(InputError, match="training: collapsed and never recovered; set a lower lr"):
        train(tiny_config.replace(checkpoint_seconds=0), runs=tmp_path)


def test_without_holdout_a_training_recovers_from_a_collapse(tiny_config, tmp_path, monkeypatch, capsys):
    rates = iter([float("inf")] * 2)
    monkeypatch.setattr(loop, "learning_rate", lambda *_: next(rates, 1e-3))
    run = train(tiny_config.replace(holdout=0), runs=tmp_path)
    assert run.finished and "training: collapsed" in capsys.readouterr().err
    assert all(np.isfinite(array).all() for array in weights(run).values())


def test_a_finished_run_is_not_trained_again(tiny_run, tmp_path, capsys):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / ".abc.ssim-ae.part").touch()
    run = train(tiny_run.config, resume=folder)
    assert run.finished and not run.trained
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert f"{folder}: finished; add to its training with --epochs +5" in capsys.readouterr().err
    recalibrate(folder, None, {"threshold": "max"})
    (folder / CHECKPOINT_NAME).unlink()
    assert not train(tiny_run.config, resume=folder).trained, "without its checkpoint, it is finished all the same"


def test_a_finished_run_without_its_detector_gets_one(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "run")
    (folder / "detector.safetensors").unlink()
    run = train(tiny_run.config, resume=folder)
    assert run.trained and equal(weights(run), weights(tiny_run))


def test_an_addition_continues_from_the_trained_weights_and_keeps_the_former_detector(tiny_config, tmp_path):
    config = tiny_config.replace(lr=1e-12, schedule="constant")
    run = train(config, runs=tmp_path)
    former = weights(run)
    added = train(config, resume=run.folder, add=Addition(epochs=3))
    assert added.finished and added.trained
    assert max(np.abs(weights(added)[name] - value).max() for name, value in former.items()) < 1e-8
    assert [epoch.epoch for epoch in read_history(run.folder)] == [1, 2, 3, 4, 5]
    assert equal(read_detector(version_paths(run.folder)[0]).weights, former)
    steps = [read_detector(path).provenance.steps for path in version_paths(run.folder)]
    assert steps == [8, 20] and read_detector(added.detector_path).provenance.steps == 20
    assert not train(config, resume=run.folder).trained
    train(config, resume=run.folder, add=Addition(epochs=1))
    assert len(version_paths(run.folder)) == 3


def test_thresholds_that_an_addition_replaces_are_noted(tiny_run, tmp_path, capsys):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "run")
    note = "thresholds: estimated by the settings of the run; those that were set later are in the former version"
    train(tiny_run.config, resume=folder, add=Addition(epochs=1))
    assert note not in capsys.readouterr().err
    recalibrate(folder, None, {"ssim_threshold": 9, "l1_threshold": 8})
    added = train(tiny_run.config, resume=folder, add=Addition(epochs=1))
    assert note in capsys.readouterr().err
    assert read_detector(version_paths(folder)[-2]).thresholds == {"ssim": 9, "l1": 8}
    assert read_detector(added.detector_path).provenance.thresholds.estimator == "false_alarm_rate"


def test_the_held_out_loss_falls_further_in_an_addition(tiny_config, tmp_path):
    run = train(tiny_config.replace(lr=1e-3, augment_num=256), runs=tmp_path)
    before = min(epoch.held_out_loss for epoch in read_history(run.folder))
    train(run.config, resume=run.folder, add=Addition(epochs=8))
    assert min(epoch.held_out_loss for epoch in read_history(run.folder)) < 0.95 * before


def test_an_addition_of_minutes(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "run")
    added = train(tiny_run.config, resume=folder, add=Addition(minutes=0.01))
    assert added.finished and read_detector(added.detector_path).provenance.steps > 8
    assert not train(tiny_run.config, resume=folder).trained


@pytest.mark.parametrize("steps", [1, 5])
def test_an_interrupted_addition_is_resumed(tiny_run, tmp_path, monkeypatch, steps):
    whole, part = (shutil.copytree(tiny_run.folder, tmp_path / name) for name in ("whole", "part"))
    expected = weights(train(tiny_run.config, resume=whole, add=Addition(epochs=2)))
    with monkeypatch.context() as patched:
        stop_after(patched, steps)
        assert not train(tiny_run.config, resume=part, add=Addition(epochs=2)).finished
    with pytest.raises(InputError, match="not finished; continue it first with: ssim-ae train --resume"):
        train(tiny_run.config, resume=part, add=Addition(epochs=2))
    assert equal(weights(train(tiny_run.config, resume=part)), expected)
    assert equal(read_detector(version_paths(part)[0]).weights, weights(tiny_run))


@pytest.mark.parametrize(
    ("add", "changes", "message"),
    [
        (Addition(), {}, "add epochs or minutes, a number above 0"),
        (Addition(epochs=-1), {}, "add epochs or minutes, a number above 0"),
        (Addition(minutes=float("nan")), {}, "add epochs or minutes, a number above 0"),
        (Addition(1, 1), {}, "add epochs or minutes, a number above 0"),
        (Addition(minutes=1), {"distribute": True}, "add epochs, not minutes"),
    ],
)
def test_what_cannot_be_added_is_an_error(tiny_run, tmp_path, add, changes, message):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "run")
    (folder / "config.yaml").write_text(tiny_run.config.replace(**changes).to_yaml())
    with pytest.raises(InputError, match=message):
        train(tiny_run.config, resume=folder, add=add)
    with pytest.raises(InputError, match="name it with --resume"):
        train(tiny_run.config, runs=tmp_path, add=Addition(epochs=1))
    (folder / "config.yaml").write_text(tiny_run.config.to_yaml())
    (folder / CHECKPOINT_NAME).unlink()
    with pytest.raises(InputError, match="its checkpoint is missing; start a new run with --load_ckpt_path"):
        train(tiny_run.config, resume=folder, add=Addition(epochs=1))


def test_training_uses_all_bits_of_16_bit_images(tiny_config, tmp_path, capsys):
    folder = tmp_path / "deep"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        values = rng.integers(0, 1024, (64, 64), dtype=np.uint16)
        Image.fromarray(values).save(folder / f"{number}.png")
    run = train(tiny_config.replace(dataset_path=str(folder), grayscale=True), runs=tmp_path)
    assert (
        "the 16-bit images reach only 1023 of 65535; for a camera with fewer bits set --bit_depth 10"
        in capsys.readouterr().err
    )
    sheet = read_image(run.folder / "patches.png")
    assert len(np.unique(sheet)) <= 6, "nearly black in eight bits"
    good = load_good_images(find_dataset(folder), run.config)
    assert good.training_images.dtype == np.float32 and len(np.unique(good.training_images)) > 900


@pytest.mark.parametrize(
    ("bit_depth", "brightest", "note"),
    [
        (16, 2**14 - 1, "reach only 16383 of 65535; for a camera with fewer bits set --bit_depth 14"),
        (16, 3000, "reach only 3000 of 65535; for a camera with fewer bits set --bit_depth 12"),
        (16, 255, "reach only 255 of 65535; for a camera with fewer bits set --bit_depth 8"),
        (12, 1000, "reach only 1000 of 4095; for a camera with fewer bits set --bit_depth 10"),
        (12, 4096, "reach 4096, and all above 4095 is cut; raise --bit_depth"),
        (16, 2**14, ""),
        (12, 4095, ""),
        (12, 3000, ""),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_bit_depth_that_does_not_fit_is_noted(tmp_path, capsys, bit_depth, brightest, note, channels):
    values = np.full((32, 32, channels), brightest // 2, np.uint16)
    values[0, 0] = brightest
    tifffile.imwrite(tmp_path / "a.tif", values.squeeze(), photometric="rgb" if channels == 3 else "minisblack")
    load_good_images(find_dataset(tmp_path), Config(bit_depth=bit_depth, im_resize=64, crop_size=32))
    printed = " ".join(capsys.readouterr().err.split())
    assert note in printed and ("--bit_depth" in printed) == bool(note)


def test_the_loss_falls_in_bf16(tiny_config, tmp_path):
    run = train(tiny_config.replace(precision="bf16", epochs=6, lr=1e-3), runs=tmp_path)
    losses = [float(row.split(",")[2]) for row in (run.folder / "history.csv").read_text().splitlines()[1:]]
    assert losses[-1] < 0.9 * losses[0]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ssim_ae", "train", *arguments]


def options(pairs: list[str]) -> list[str]:
    return [f"--{pair}" for pair in pairs]


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_a_killed_and_resumed_run_has_equal_weights(fabric_folder, tmp_path, kills):
    """SIGKILL at random times, with a checkpoint after every step."""
    settings = options([*SMALL, "epochs=6", "augment_num=256", "checkpoint_seconds=0", "run_eval=False"])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = time.monotonic()
    subprocess.run(command(str(fabric_folder), "--runs", str(tmp_path / "whole"), *settings), check=True, **quiet)
    duration = time.monotonic() - start
    whole = read_detector(next((tmp_path / "whole").iterdir()) / "detector.safetensors").weights

    rng = np.random.default_rng(kills)
    arguments = command(str(fabric_folder), "--runs", str(tmp_path / "killed"), *settings)
    steps_seen = []
    for _ in range(kills):
        process = subprocess.Popen(arguments, **quiet)
        try:
            process.wait(timeout=rng.uniform(0.3, 1.0) * duration)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        folders = list((tmp_path / "killed").glob("*/config.yaml"))
        if folders:
            arguments = command("--resume", str(folders[0].parent))
            checkpoint = folders[0].parent / CHECKPOINT_NAME
            steps_seen.append(checkpoint.exists())
    subprocess.run(arguments, check=True, **quiet)
    assert any(steps_seen), "no kill came after the first checkpoint"
    folder = folders[0].parent
    assert equal(read_detector(folder / "detector.safetensors").weights, whole)


def test_two_processes_give_the_weights_of_one(fabric_folder, tmp_path):
    settings = options([*SMALL, "epochs=2", "augment_num=64", "precision=fp32", "run_eval=False"])
    runs = {}
    for workers in (1, 2):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(workers), "--standalone"]
        runs[workers] = tmp_path / str(workers)
        arguments = ["-m", "ssim_ae", "train", str(fabric_folder), "--runs", str(runs[workers]), *settings]
        done = subprocess.run([*torchrun, *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    one, two = (read_detector(next(folder.iterdir()) / "detector.safetensors").weights for folder in runs.values())
    # Not all of them: where a gradient is nearly 0, Adam's step depends on rounding.
    assert np.quantile(np.concatenate([np.abs(one[name] - two[name]).ravel() for name in one]), 0.99) < 1e-5


def test_ctrl_c_stops_cleanly(fabric_folder, tmp_path):
    arguments = command(str(fabric_folder), "--runs", str(tmp_path), *options([*SMALL, "epochs=1000"]))
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/patches.png")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "continue with: ssim-ae train --resume" in output and "Traceback" not in errors
    folder = next(tmp_path.iterdir())
    assert Path(folder / "detector.safetensors").exists()


def test_a_training_in_minutes_may_end_within_an_epoch(tiny_config, tmp_path):
    changes = {"minutes": 0.02, "augment_num": 100_000, "lr": 1e-3}
    run = train(tiny_config.replace(**changes), runs=tmp_path)
    (last,) = read_history(run.folder)
    provenance = read_detector(run.detector_path).provenance
    assert last.epoch == 1 and 0 < last.steps == provenance.steps < 100_000 // 16
    assert last.held_out_loss is not None
    resumed = train(run.config, resume=run.folder)
    assert resumed.finished and read_history(run.folder) == [last]


def test_excluded_images_are_not_learned_from_and_count_as_known(
    tiny_config: Config, fabric_folder: Path, tmp_path: Path
) -> None:
    listing = tmp_path / "excluded.txt"
    excluded = sorted((fabric_folder / "train" / "good").iterdir())[:2]
    listing.write_text("".join(f"{path.name}\n" for path in excluded))
    run = train(tiny_config.replace(exclude=str(listing), epochs=1), runs=tmp_path / "runs")
    provenance = read_detector(run.detector_path).provenance
    assert len(provenance.training_images + provenance.held_out_images) == 8
    assert provenance.split(excluded).excluded == excluded
    assert Config.read(run.folder / "config.yaml").exclude == str(listing)


def test_excluding_every_image_is_an_error(tiny_config: Config, fabric_folder: Path, tmp_path: Path) -> None:
    listing = tmp_path / "excluded.txt"
    listing.write_text("".join(f"{path.name}\n" for path in (fabric_folder / "train" / "good").iterdir()))
    with pytest.raises(InputError, match="lists all 10 good images"):
        train(tiny_config.replace(exclude=str(listing)), runs=tmp_path)


@pytest.mark.parametrize("measured", [12, 200])  # training images; the others are only checked for defects
@pytest.mark.parametrize("outliers", ["leave_out", "keep"])
def test_spoilt_images_are_named_shown_and_do_not_set_the_thresholds(
    tiny_config: Config,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    outliers: str,
    measured: int,
) -> None:
    monkeypatch.setattr(calibrate, "MAX_TRAINING_IMAGES", measured)
    monkeypatch.setattr(suspects, "LEFT_OUT_DISTANCE", 3.0)  # a training of a second tells images apart less clearly
    monkeypatch.setattr(calibrate, "NAMED_DISTANCE", 2.0)
    data = fabric.make(tmp_path / "data", classes=["twill"], train=30, good=1, defective=0, size=64, seed=2)[0]
    paths = sorted((data / "train" / "good").iterdir())
    held_out = held_out_indices(len(paths), tiny_config)
    spoilt = [paths[held_out[0]], paths[[index for index in range(30) if index not in held_out][1]]]
    for path in spoilt:
        pixels = np.asarray(Image.open(path)).copy()
        pixels[16:48, 16:48] = np.random.default_rng(0).choice([0, 255], (32, 32, 1))
        Image.fromarray(pixels).save(path)
    config = tiny_config.replace(dataset_path=str(data), outliers=outliers)
    run = train(config, runs=tmp_path / "runs")
    file = read_detector(run.detector_path)
    assert (run.folder / "suspects.png").exists()
    listed = (run.folder / "suspects.txt").read_text().splitlines()
    assert {path.relative_to(data).as_posix() for path in spoilt} <= set(listed)
    assert file.provenance.thresholds.left_out_images == (outliers == "leave_out")
    assert ("left out of the thresholds" in capsys.readouterr().err) == (outliers == "leave_out")
