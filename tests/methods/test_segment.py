"""The method `segment`, from the folder to the exported files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from tests.training.trainings import stop_after

from ssim_ae import Config, Detector, InputError, train
from ssim_ae.alignment.choose import Alignment
from ssim_ae.alignment.strip import Strip
from ssim_ae.augmentation.damage import STRIDE
from ssim_ae.cli import main
from ssim_ae.detector.detector_file import frame_of, read_detector
from ssim_ae.export.export import export
from ssim_ae.export.options import ExportOptions
from ssim_ae.images.files import read_image, write_png
from ssim_ae.images.size import Size
from ssim_ae.methods.segment import METHOD, NEGLIGIBLE, SMOOTHING, unet_layers
from ssim_ae.network.torch_network import Autoencoder
from ssim_ae.training.alignment_choice import with_aligned_pixels
from ssim_ae.training.good_images import GoodImages
from ssim_ae.training.history import read_history

SETTINGS = {
    "method": "segment",
    "resolution": 96,
    "flc": 4,
    "augment_num": 64,
    "epochs": 3,
    "drawn_defects": 0,
    "device_target": "CPU",
    "precision": "fp32",
    "seed": 5,
}


def wedge(seed):
    """Draw a part at any position and angle on an even background."""
    rng = np.random.default_rng(seed)
    y, x, angle = *rng.uniform(70, 90, 2), rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:160, :160] + 0.5
    along = ((columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)) / 110
    across = ((rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)) / 110
    inside = (np.abs(along) < 0.5) & (np.abs(across) < 0.12 * (0.6 - along))
    image = np.where(inside[..., None], (80, 90, 120), (190, 185, 170)) + rng.normal(0, 3, (160, 160, 3))
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def wedges(tmp_path_factory) -> Path:
    """Parts that lie at any angle."""
    folder = tmp_path_factory.mktemp("wedges")
    for seed in range(20):
        write_png(folder / f"{seed:02d}.png", wedge(seed))
    return folder


@pytest.fixture(scope="module")
def run(wedges, tmp_path_factory):
    return train(Config(dataset_path=str(wedges), **SETTINGS), runs=tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 512), (160, 416)])
def test_the_output_is_a_map_at_a_quarter_of_the_size(height, width):
    config = Config(method="segment", im_resize=64, flc=2)
    network = METHOD.network(config, Size(height, width))
    assert network.output_shape == (1, height // STRIDE, width // STRIDE)
    with torch.no_grad():
        output = Autoencoder(network.layers)(torch.rand(2, 3, height, width))
    assert tuple(output.shape[1:]) == network.output_shape
    assert output.mean() == pytest.approx(-3, abs=1.5), "damage is rare"


def test_the_residual_is_what_exceeds_negligible_log_odds():
    output = np.full((1, 8, 16), NEGLIGIBLE - 5, np.float32)
    output[0, :, :8] = 2
    residual, _ = METHOD.residual_maps(np.zeros((3, 32, 64), np.float32), output)
    assert residual.shape == (32, 64) and residual.min() == 0
    assert residual[:, :16] == pytest.approx(2 - NEGLIGIBLE) and not residual[:, 48:].any()


def test_a_block_alone_counts_less_than_an_area():
    output = np.full((1, 32, 48), NEGLIGIBLE, np.float32)
    output[0, 8, 8] = output[0, 10:22, 20:32] = 0
    residual, _ = METHOD.residual_maps(np.zeros((3, 128, 192), np.float32), output)
    smoothed = ndimage.gaussian_filter(output[0].astype(float), SMOOTHING, radius=3, mode="mirror")
    assert residual.max() == pytest.approx(smoothed.max() - NEGLIGIBLE, abs=1e-4)
    assert residual[:40, :40].max() < 0.2 * residual.max()


def test_a_part_is_missing_if_nothing_at_all_looks_damaged():
    good, background = np.full((1, 16, 16), -6, np.float32), np.full((1, 16, 16), -6, np.float32)
    good[0, 2:14, 2:14] = -1
    image = np.zeros((3, 64, 64), np.float32)
    for output, highest in ((good, -1), (background, -6)):
        absence = METHOD.residual_maps(image, output)[1]
        assert absence == pytest.approx(np.exp(-highest), rel=0.05) and absence.min() == absence.max()
    thresholds = {"damage": 20.0, "absence": 30.0}
    scores = [METHOD.anomaly_map(METHOD.residuals(image, output), thresholds).max() for output in (good, background)]
    assert scores[0] < 1 < scores[1]


def test_it_trains_on_the_strips_of_aligned_parts(run):
    detector = Detector.load(run.folder)
    frame = detector.frame
    assert frame.alignment and frame.size.width > 2 * frame.size.height
    assert list(detector.thresholds) == ["damage", "absence"] and min(detector.thresholds.values()) > 0
    height, width = frame.size
    assert read_image(run.folder / "patches.png").shape == (8 * height, 8 * width, 3)
    losses = [record.loss for record in read_history(run.folder)]
    assert len(losses) == 3 and losses[-1] < losses[0]
    assert detector.provenance.thresholds.expected


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(run, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        stop_after(patch, 10)
        interrupted = train(run.config, runs=tmp_path)
    assert not interrupted.finished
    resumed = train(run.config, runs=tmp_path, resume=interrupted.folder)
    first, second = (read_detector(one.detector_path) for one in (run, resumed))
    assert all(np.array_equal(weight, second.weights[name]) for name, weight in first.weights.items())
    assert first.thresholds == second.thresholds and first.alignment == second.alignment


@pytest.mark.parametrize(
    "options",
    [ExportOptions("onnx"), ExportOptions("onnx", "network"), ExportOptions("openvino", precision="fp32")],
    ids=lambda options: f"{options.format}-{options.graph}",
)
def test_exported_files_inspect_alike(run, options, tmp_path):
    result = export(run.folder, tmp_path / f"wedge{options.export_format.suffix}", options)
    assert result.parity.within_tolerance
    image = wedge(300)
    expected = Detector.load(run.folder).inspect(image).score
    for runtime in ("auto", "torch") if options.format == "onnx" else ("auto",):
        assert Detector.load(result.path, runtime=runtime).inspect(image).score == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ExportOptions("openvino", precision="int8"), "int8"),
        (ExportOptions("mindir"), "mindir"),
    ],
)
def test_exports_that_cannot_hold_it_are_named(run, options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export(run.folder, tmp_path / f"wedge{options.export_format.suffix}", options)


def test_thresholds_are_set_by_hand(run, capsys):
    by_hand = ["--damage_threshold", "99", "--absence_threshold", "1e9", "--drawn_defects", "0"]
    assert main(["threshold", str(run.folder), *by_hand]) == 0
    assert Detector.load(run.folder).thresholds == {"damage": 99, "absence": 1e9}
    assert main(["threshold", str(run.folder), "--rollback"]) == 0


def test_strips_keep_the_depth_of_their_images(tmp_path):
    paths = [tmp_path / name for name in ("deep.png", "flat.png")]
    for path, dtype, factor in zip(paths, (np.uint16, np.uint8), (257, 1), strict=True):
        Image.fromarray((wedge(1)[..., 0].astype(int) * factor + factor // 2).astype(dtype)).save(path)
    alignment = Alignment(Strip(-0.4, 0.4, -0.2, 0.2))
    config = Config(method="segment", im_resize=96)
    good = GoodImages((paths[0],), (paths[1],), *np.zeros((2, 1, 3, 96, 96), np.uint8))
    aligned = with_aligned_pixels(good, alignment, config, tmp_path)
    assert aligned.training_images.shape == (1, 3, *frame_of(config, alignment).size)
    assert aligned.training_images.dtype == np.float32 and aligned.training_images.max() <= 1
    steps = aligned.training_images * 255
    assert np.abs(steps - np.rint(steps)).max() > 0.1, "finer than 8 bits"
    eight = with_aligned_pixels(replace(good, training_paths=paths[1:]), alignment, config, tmp_path)
    assert eight.training_images.dtype == np.uint8


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_images_will_do_to_begin_with(wedges, count, tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(wedges.glob("*.png"))[:count]:
        (folder / path.name).write_bytes(path.read_bytes())
    run = train(Config(dataset_path=str(folder), **SETTINGS | {"epochs": 1}), runs=tmp_path)
    assert run.finished and Detector.load(run.folder).thresholds["damage"] > 0


def test_long_images_and_16_bits_are_trained_on(tmp_path, rng):
    folder = tmp_path / "strips"
    folder.mkdir()
    for index in range(6):
        Image.fromarray(rng.integers(20_000, 30_000, (40, 500)).astype(np.uint16)).save(folder / f"{index}.png")
    few = {"epochs": 1, "augment_num": 16, "align": False}
    run = train(Config(dataset_path=str(folder), **SETTINGS | few), runs=tmp_path)
    detector = Detector.load(run.folder)
    assert detector.view.size == (64, 800) and detector.frame.alignment is None
    assert detector.inspect(folder / "0.png").anomaly_map.shape == (40, 500)


def test_a_size_that_does_not_fit_is_one_line(wedges, tmp_path, capsys):
    assert main(["train", str(wedges), "--method", "segment", "--im_resize", "100", "--runs", str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "im_resize 100" in error and "64 or more and a multiple of 32" in error


def test_the_first_layer_sees_every_channel():
    assert unet_layers(channels=1, flc=2)[0].in_channels == 1 and unet_layers(channels=3, flc=2)[-1].out_channels == 1
