"""The folder of a run: its current detector, its versions, and what is said of folders that are no runs."""

import os
import shutil

import pytest

from ssim_ae import Detector, InputError
from ssim_ae.detector import run_folder
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.run_folder import (
    current_version,
    detector_path,
    find_runs,
    roll_back,
    run_of,
    set_current,
    version_paths,
)


@pytest.fixture
def run(tiny_run, tmp_path):
    """Return a copy of the tiny run's folder."""
    return shutil.copytree(tiny_run.folder, tmp_path / "runs" / "twill-1")


def set_threshold(run, value):
    return set_current(run, read_detector(detector_path(run))._replace(thresholds={"ssim": value, "l1": value}))


def current(run):
    return Detector.load(run, device_target="CPU").thresholds["ssim"]


def test_a_new_version_is_the_current_one_and_the_former_one_is_kept(run):
    first = detector_path(run).read_bytes()
    assert set_threshold(run, 0.5) == (2, 2) and current(run) == 0.5
    assert [path.name for path in version_paths(run)] == ["1.safetensors", "2.safetensors"]
    assert version_paths(run)[0].read_bytes() == first


def test_versions_are_undone_one_by_one_and_the_undone_ones_are_kept(run):
    first = current(run)
    for value in (0.5, 0.6):
        set_threshold(run, value)
    assert roll_back(run) == (2, 3) and current(run) == 0.5
    assert roll_back(run) == (1, 3) and current(run) == first
    with pytest.raises(InputError, match="no former version"):
        roll_back(run)
    assert current(run) == first and len(version_paths(run)) == 3


def test_the_current_version_is_looked_for_from_the_latest_on(run, monkeypatch):
    assert current_version(run) == 1
    for value in (0.5, 0.6, 0.7):
        set_threshold(run, value)
    read = []
    monkeypatch.setattr(run_folder, "read_file", lambda path: read.append(path.name) or path.read_bytes())
    assert current_version(run) == 4
    assert read == ["detector.safetensors", "4.safetensors"]
    roll_back(run)
    assert current_version(run) == 3
    detector_path(run).write_bytes(b"of another program")
    assert current_version(run) == 5


def test_after_an_undone_version_the_former_one_is_the_one_that_was_used(run):
    first = current(run)
    set_threshold(run, 0.5)
    roll_back(run)
    set_threshold(run, 0.6)
    roll_back(run)
    assert current(run) == first


def test_equal_versions_are_undone_together(run):
    first = current(run)
    for _ in range(2):
        set_threshold(run, 0.5)
    assert roll_back(run) == (1, 3) and current(run) == first


def test_a_detector_that_was_copied_into_the_folder_is_kept(run):
    set_threshold(run, 0.5)
    shutil.copy(version_paths(run)[0], detector_path(run))
    copied = current(run)
    set_threshold(run, 0.6)
    roll_back(run)
    assert current(run) == copied


def test_a_run_that_was_never_changed_has_no_former_version(run):
    with pytest.raises(InputError, match="no former version"):
        roll_back(run)
    assert not version_paths(run)


@pytest.mark.parametrize("writes", range(3))
def test_a_change_that_is_killed_leaves_the_former_version_current(run, killed_after, writes):
    set_threshold(run, 0.5)
    shutil.copy(version_paths(run)[0], detector_path(run))
    former = current(run)
    with killed_after(writes), pytest.raises(KeyboardInterrupt):
        set_threshold(run, 0.6)
    assert current(run) == former
    set_threshold(run, 0.7)
    assert current(run) == 0.7
    roll_back(run)
    assert current(run) == former or writes == 2, "the killed change may have stored its version"


def test_a_path_names_a_run_or_a_file(run, tmp_path):
    other = shutil.copy(detector_path(run), tmp_path / "line3.safetensors")
    assert run_of(run) == run_of(detector_path(run)) == run
    assert run_of(other) is None and detector_path(other) == other
    shutil.copy(other, tmp_path / run_folder.DETECTOR_NAME)
    assert run_of(tmp_path / run_folder.DETECTOR_NAME) is None, "no settings of a run lie beside it"


def test_what_is_no_run_is_named(run, fabric_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = r"; runs: runs/twill-1$"
    with pytest.raises(InputError, match=rf"good: a folder of images, not a run{named}"):
        detector_path(fabric_folder / "train" / "good")
    with pytest.raises(InputError, match=rf"a folder of images, not a run{named}"):
        detector_path(fabric_folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=rf"empty: not a run: it has no detector{named}"):
        detector_path(tmp_path / "empty")
    with pytest.raises(InputError, match=rf"runs/twill-9: no such file or run{named}"):
        detector_path(run_folder.Path("runs/twill-9"))
    with pytest.raises(InputError, match=r"^runs: a folder of runs; name one of them: runs/twill-1$"):
        detector_path(run_folder.Path("runs"))
    detector_path(run).unlink()
    with pytest.raises(InputError, match=r"twill-1: a run whose training has not finished; .* --resume \S*twill-1$"):
        detector_path(run)


def test_only_the_newest_runs_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(7):
        folder = tmp_path / "runs" / f"a-{number}"
        folder.mkdir(parents=True)
        (folder / run_folder.CONFIG_NAME).touch()
        os.utime(folder / run_folder.CONFIG_NAME, (number, number))
    assert [run.name for run in find_runs(tmp_path / "runs")][:2] == ["a-6", "a-5"]
    with pytest.raises(InputError, match=r"no such file or run; runs: runs/a-6, .*, runs/a-2, \.\.\.$"):
        detector_path(run_folder.Path("none"))
