"""Pixels of good images beyond the memory limit, which is lowered."""

import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssim_ae import InputError, train
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.training import pixel_store
from ssim_ae.training.pixel_store import PixelStore

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 3, 4, 5), np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    second=st.sets(st.integers(0, 8)),
    deep=st.sets(st.integers(0, 8)),
    count=st.integers(9, 12),
    limit=st.sampled_from([0, 2**30]),
)
def test_images_are_split_wherever_they_are_kept(tmp_path_factory, second, deep, count, limit):
    folder = tmp_path_factory.mktemp("pixels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixel_store, "MAX_BYTES_IN_MEMORY", limit)
        patch.setattr(pixel_store, "IMAGES_AT_ONCE", 2)
        store = PixelStore(count, len(second), folder)
        for index, image in enumerate(IMAGES):
            store.add(image.astype(np.float32) / 255 if index in deep else image)
        others, chosen = store.split(sorted(second))
    expected = IMAGES.astype(np.float32) / 255 if deep else IMAGES
    np.testing.assert_array_equal(others, np.delete(expected, sorted(second), axis=0))
    np.testing.assert_array_equal(chosen, expected[sorted(second)])
    assert others.dtype == chosen.dtype == expected.dtype
    assert list(folder.iterdir()) == []


def test_a_training_from_a_file_equals_one_from_memory(tiny_config, tmp_path, monkeypatch, capsys):
    in_memory = train(tiny_config, runs=tmp_path / "memory")
    assert "temporary file" not in capsys.readouterr().err
    monkeypatch.setattr(pixel_store, "MAX_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr(pixel_store, "BYTES_AT_ONCE", 1000)
    in_file = train(tiny_config, runs=tmp_path / "file")
    assert "the pixels of good images are in a temporary file of" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "file").iterdir()] == [in_file.folder.name]
    expected, found = (read_detector(run.detector_path).weights for run in (in_memory, in_file))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_disk_without_room_is_an_error_before_images_are_read(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_store, "MAX_BYTES_IN_MEMORY", 0)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(pixel_store.shutil, "disk_usage", lambda _: usage(1000))
    with pytest.raises(InputError, match=r"runs: 0\.0 GB needed for the pixels of good images .* 0\.0 GB free; free"):
        train(tiny_config, runs=tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_disk_that_fills_up_is_an_error(tmp_path, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pixel_store, "MAX_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr(pixel_store, "TemporaryFile", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        PixelStore(9, 2, tmp_path).add(IMAGES[0])


@pytest.mark.skipif(sys.platform == "win32", reason="a killed process leaves the file to the system")
def test_a_killed_process_leaves_no_file(tmp_path):
    script = (
        "import os, sys, numpy as np; from pathlib import Path; from ssim_ae.training import pixel_store as module;"
        "module.MAX_BYTES_IN_MEMORY = 0; store = module.PixelStore(9, 2, Path(sys.argv[1]));"
        "store.add(np.ones((1, 64, 64), np.uint8)); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == -9
    assert list(tmp_path.iterdir()) == []
