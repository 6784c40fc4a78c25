"""Good images that are added to a run: its statistics are those of all images, and nothing is lost on the way."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from tests.training.add_images.conftest import SETTINGS, current

from ssim_ae import Config, Detector, InputError, train
from ssim_ae.cli import main
from ssim_ae.detector.run_folder import roll_back, version_paths
from ssim_ae.images.folders import content_hash
from ssim_ae.training.add_images import add_images
from ssim_ae.training.feature_fitter import MOMENTS_NAME, FeatureFitter
from ssim_ae.training.good_images import ImageCounts, held_out_indices
from ssim_ae.training.recalibrate import known_images


def fitted_at_once(run: Path, folders: list[Path], tmp_path: Path, **settings) -> Detector:
    """Return a detector of a new run on the training images of a run, with that run's thresholds."""
    file = current(run)
    images = {content_hash(path): path for folder in folders for path in sorted(folder.iterdir())}
    folder = tmp_path / "at-once"
    folder.mkdir()
    for number, content in enumerate(sorted(file.provenance.training_images)):  # in another order
        shutil.copy(images[content], folder / f"{number}.png")
    config = Config(**SETTINGS | {"dataset_path": str(folder), "holdout": 0, "run_eval": False} | settings)
    detector = Detector.load(train(config, runs=tmp_path / "runs").folder)
    detector.thresholds = file.thresholds
    return detector


def scores(detector: Detector, images: list[Path]) -> np.ndarray:
    return np.array([detector.inspect(path).score for path in images])


def assert_equal_to_a_fit_at_once(run: Path, detector: Detector, images: list[Path]) -> None:
    np.testing.assert_allclose(scores(Detector.load(run), images), scores(detector, images), rtol=1e-5)


def test_a_run_that_was_added_to_equals_one_on_all_images_at_once(run, first, more, fabric_folder, tmp_path):
    before = current(run)
    images = sorted((fabric_folder / "test").glob("*/*.png"))
    former_scores = scores(Detector.load(run), images)
    added = add_images(run, more)
    assert added.new == (5, 1) and added.former == (8, 2)
    detector = fitted_at_once(run, [first, more], tmp_path)
    assert_equal_to_a_fit_at_once(run, detector, images)
    assert np.abs(scores(detector, images) * detector.thresholds["distance"] / before.thresholds["distance"]).max() > 0
    assert not np.allclose(former_scores, scores(detector, images), rtol=1e-3)


def test_images_stay_what_they_were_and_the_former_detector_is_kept(run, more):
    before, content, times = current(run), (run / "detector.safetensors").read_bytes(), (run / "config.yaml").stat()
    added = add_images(run, more)
    after = current(run)
    for part in ("training_images", "held_out_images"):
        old, new = getattr(before.provenance, part), getattr(after.provenance, part)
        assert new[: len(old)] == old and len(new) > len(old)
    new = after.provenance.training_images[8:] + after.provenance.held_out_images[2:]
    assert sorted(new) == sorted(map(content_hash, more.iterdir()))
    assert after.provenance.fingerprint != before.provenance.fingerprint and after.provenance.finished
    origin = after.provenance.thresholds
    assert after.thresholds != before.thresholds and origin.held_out_images + origin.left_out_images == 16
    assert version_paths(run)[0].read_bytes() == content
    assert added.run.config.more_paths == after.config.more_paths == [str(more)]
    assert (run / "config.yaml").stat().st_mtime_ns == times.st_mtime_ns, "it says when the run was started"
    known = known_images(after, run)
    assert len(known.held_out) == 3 and len(known.training) == 13, "new thresholds come from the added images, too"
    assert not any(".part" in path.name for path in run.rglob("*"))


def test_the_settings_of_the_current_detector_set_the_thresholds(run, more, capsys):
    assert main(["threshold", str(run), "--false_alarm_rate", "0.2"]) == 0
    add_images(run, more)
    assert current(run).config.false_alarm_rate == 0.2
    assert "those that were set later" not in capsys.readouterr().err


def test_images_are_added_again_and_again(run, first, more, fabric_folder, tmp_path, capsys):
    for number, path in enumerate(sorted(more.iterdir())):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(path, folder / "new.png")
        add_images(run, folder)
    assert "measured again" not in capsys.readouterr().err
    provenance = current(run).provenance
    assert (len(provenance.training_images), len(provenance.held_out_images)) == (13, 3), "a fifth is held out"
    images = sorted((fabric_folder / "test").glob("*/*.png"))
    assert_equal_to_a_fit_at_once(run, fitted_at_once(run, [first, more], tmp_path), images)


def test_images_that_are_put_into_the_run_s_own_folder(first, more, tmp_path, original):
    folder = shutil.copytree(first, tmp_path / "photos")
    run = train(Config(dataset_path=str(folder), run_eval=False, **SETTINGS), runs=tmp_path / "runs").folder
    for path in more.iterdir():
        shutil.copy(path, folder / f"later-{path.name}")
    added = add_images(run, folder)
    assert added.new == (5, 1) and added.run.config.more_paths == []
    assert add_images(run, folder).new == (0, 0)


def test_a_copy_that_was_put_beside_its_training_image_is_not_measured_twice(first, more, tmp_path):
    folder = shutil.copytree(first, tmp_path / "photos")
    run = train(Config(dataset_path=str(folder), run_eval=False, **SETTINGS), runs=tmp_path / "runs").folder
    shutil.copy(known_images(current(run), run).training[0], folder / "copy.png")
    (run / MOMENTS_NAME).unlink()
    add_images(run, more)
    fitter = FeatureFitter.of_detector(current(run), [])
    assert fitter.restore(run, current(run).provenance.training_images) and fitter.moments.count == 13


def test_known_copied_and_excluded_images_are_skipped(first, more, tmp_path, capsys):
    exclude = tmp_path / "exclude.txt"
    exclude.write_text("000.png\n")
    settings = {"dataset_path": str(first), "exclude": str(exclude), "run_eval": False}
    run = train(Config(**SETTINGS | settings), runs=tmp_path / "runs").folder
    folder = shutil.copytree(more, tmp_path / "mixed")
    for source, name in ((first / "000.png", "x.png"), (first / "001.png", "y.png"), (more / "003.png", "z.png")):
        shutil.copy(source, folder / name)
    before = current(run).provenance
    assert sum(add_images(run, folder).new) == 6
    skipped = "6 new; skipped: 1 known image, 1 excluded image, 1 duplicate"
    assert f"note: {folder}: {skipped}\n" in capsys.readouterr().err
    assert current(run).provenance.excluded_images == before.excluded_images == [content_hash(first / "000.png")]
    known = known_images(current(run), run)
    assert len(known.training) + len(known.held_out) == 9 + 6, "a copy does not count twice"
    content = (run / "detector.safetensors").read_bytes()
    assert add_images(run, folder).new == (0, 0) and (run / "detector.safetensors").read_bytes() == content
    assert "0 new; skipped: 8 known images, 1 excluded image" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["rollback", "missing", "corrupt", "other"])
def test_without_the_moments_of_the_current_detector_all_images_are_measured_again(
    run, first, more, fabric_folder, tmp_path, capsys, damage
):
    moments = run / MOMENTS_NAME
    if damage == "rollback":
        other = shutil.copytree(more, tmp_path / "other")
        (other / "000.png").unlink()
        add_images(run, other)
        roll_back(run)
    elif damage == "missing":
        moments.unlink()
    elif damage == "corrupt":
        moments.write_bytes(moments.read_bytes()[:-9])
    else:
        train(Config(dataset_path=str(more), run_eval=False, **SETTINGS), runs=tmp_path / "runs")
        shutil.copy(tmp_path / "runs" / "more-1" / MOMENTS_NAME, moments)
    assert add_images(run, more).new == (5, 1)
    measured = f"{moments}: not the moments of its current detector; its 8 training images are measured again"
    assert measured in capsys.readouterr().err
    images = sorted((fabric_folder / "test").glob("*/*.png"))
    assert_equal_to_a_fit_at_once(run, fitted_at_once(run, [first, more], tmp_path, dataset="at-once"), images)


def test_without_moments_and_images_nothing_can_be_added(first, more, tmp_path):
    folder = shutil.copytree(first, tmp_path / "photos")
    run = train(Config(dataset_path=str(folder), run_eval=False, **SETTINGS), runs=tmp_path / "runs").folder
    known = known_images(current(run), run)
    known.training[0].unlink()
    (run / MOMENTS_NAME).unlink()
    with pytest.raises(
        InputError,
        match=r"1 of its 8 training images are missing, and moments\S+ is not that of its current detector",
    ):
        add_images(run, more)
    for path in known.held_out:
        path.unlink()
    with pytest.raises(InputError, match=r"its held-out images are not in .*photos; restore them, or start a new run"):
        add_images(run, more)
    assert not (run / "versions").exists()


def test_found_training_images_set_thresholds_by_fits_without_them(first, more, tmp_path):
    folder = shutil.copytree(first, tmp_path / "photos")
    run = train(Config(dataset_path=str(folder), run_eval=False, **SETTINGS), runs=tmp_path / "runs").folder
    for path in known_images(current(run), run).training[:3]:
        path.unlink()
    add_images(run, more)
    assert current(run).provenance.thresholds.cross_fitted_images == 5 + 5, "those that are found, and the new ones"


def test_missing_images_are_counted(first, more, tmp_path, capsys):
    folder = shutil.copytree(first, tmp_path / "photos")
    run = train(Config(dataset_path=str(folder), run_eval=False, **SETTINGS), runs=tmp_path / "runs").folder
    known_images(current(run), run).training[0].unlink()
    assert add_images(run, more).new == (5, 1)
    assert f"{run}: 1 of its 10 good images are not found; they do not set the thresholds" in capsys.readouterr().err
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="photos: no such folder"):
        add_images(run, more)


def test_a_folder_of_more_images_that_is_gone_is_named(run, more, tmp_path, capsys):
    gone = shutil.copytree(more, tmp_path / "gone")
    add_images(run, gone)
    shutil.rmtree(gone)
    for command in (["threshold", str(run)], ["report", str(run)], ["train", "--add", str(more), str(run)]):
        assert main(command) == 2
        assert capsys.readouterr().err.endswith(
            "gone: no such folder; restore it, or take it out of the setting more_paths\n"
        )


def test_images_that_cannot_be_read_are_errors_unless_they_are_skipped(run, more, tmp_path, capsys):
    folder = shutil.copytree(more, tmp_path / "mixed")
    (folder / "bad.png").write_bytes(b"\x89PNG")
    before = (run / "detector.safetensors").read_bytes()
    with pytest.raises(
        InputError, match=r"bad.png: .*\n.*1 image cannot be read; remove it, or skip it with --skip-bad"
    ):
        add_images(run, folder)
    assert (run / "detector.safetensors").read_bytes() == before and not (run / "versions").exists()
    assert sum(add_images(run, folder, skip_bad=True).new) == 6
    assert "note: skipped: " in capsys.readouterr().err


def test_what_cannot_be_added_to_is_named(run, tiny_run, more, tmp_path, capsys):
    with pytest.raises(InputError, match=r"method reference is trained, .*start a new run .* --resume .* --epochs"):
        add_images(tiny_run.folder, more)
    with pytest.raises(InputError, match="more: a folder of images, not a run"):
        add_images(more, run)
    with pytest.raises(InputError, match="the folder of a run, written by ssim-ae, not images of parts"):
        add_images(run, run)
    with pytest.raises(InputError, match="nowhere: no such folder"):
        add_images(run, tmp_path / "nowhere")
    (tmp_path / "test" / "scratch").mkdir(parents=True)
    shutil.copy(more / "000.png", tmp_path / "test" / "scratch")
    with pytest.raises(InputError, match="no good images to add; name a folder of images without defects"):
        add_images(run, tmp_path)
    settings = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text("method: features\n")
    with pytest.raises(
        InputError, match=r"config.yaml: names no dataset_path; set it to the folder of the run's images"
    ):
        add_images(run, more)
    (run / "config.yaml").write_text(settings)
    (run / "detector.safetensors").unlink()
    with pytest.raises(InputError, match="a run whose training has not finished; continue it with"):
        add_images(run, more)


@pytest.mark.parametrize("writes", range(6))
def test_an_addition_that_is_killed_leaves_the_run_as_it_was_or_as_it_becomes(
    run, first, more, fabric_folder, tmp_path, killed_after, writes
):
    """Files are replaced in turn: settings, kept version, new version, detector, moments."""
    before = (run / "detector.safetensors").read_bytes()
    with killed_after(writes), pytest.raises(KeyboardInterrupt) if writes < 5 else nullcontext():
        add_images(run, more)
    known = known_images(current(run), run)
    if writes < 4:
        assert (run / "detector.safetensors").read_bytes() == before
        assert (len(known.training), len(known.held_out)) == (8, 2)
    else:
        assert (len(known.training), len(known.held_out)) == (13, 3)
    assert add_images(run, more).new == ((5, 1) if writes < 4 else (0, 0))
    images = sorted((fabric_folder / "test").glob("*/*.png"))
    assert_equal_to_a_fit_at_once(run, fitted_at_once(run, [first, more], tmp_path), images)
    assert Config.read(run / "config.yaml").more_paths == [str(more)]


def draw_wedges(folder: Path, count: int, seed: int) -> Path:
    """Draw an asymmetric part at any angle on an even background."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(count):
        image = Image.new("L", (256, 256), 60)
        ImageDraw.Draw(image).polygon([(48, 100), (48, 156), (208, 132), (208, 124)], fill=170)
        turned = np.array(image.rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR, fillcolor=60))
        noisy = np.clip(turned + rng.normal(0, 3, turned.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).resize((128, 128)).save(folder / f"{number}.png")
    return folder


def test_images_of_aligned_parts_are_added(tmp_path, monkeypatch):
    first, more = draw_wedges(tmp_path / "wedges", 15, 1), draw_wedges(tmp_path / "more", 10, 2)
    settings = {"im_resize": 128, "drawn_defects": 0, "run_eval": False}
    run = train(Config(dataset_path=str(first), **settings), runs=tmp_path / "runs").folder
    before = current(run)
    assert before.alignment
    add_images(run, more)
    after = current(run)
    assert after.alignment == before.alignment
    images = sorted(draw_wedges(tmp_path / "new", 4, 3).iterdir())
    aligned_alike = lambda paths, config: before.alignment  # noqa: E731 (all images would choose another strip)
    monkeypatch.setattr("ssim_ae.training.feature_fitter.alignment_of", aligned_alike)
    assert_equal_to_a_fit_at_once(run, fitted_at_once(run, [first, more], tmp_path, **settings), images)
    fitter = FeatureFitter.of_detector(after, [])
    assert fitter.restore(run, after.provenance.training_images)
    assert fitter.silhouettes and fitter.silhouettes.images == fitter.moments.count == len(
        after.provenance.training_images
    )


def test_a_share_of_all_images_is_held_out():
    config = Config(holdout=0.2)
    for former, count, held_out in (((8, 2), 6, 1), ((8, 2), 1, 0), ((1, 0), 1, 1), ((9, 0), 1, 1), ((8, 2), 40, 8)):
        assert len(held_out_indices(count, config, ImageCounts(*former))) == held_out
    assert held_out_indices(40, config.replace(holdout=0), ImageCounts(8, 2)) == []
