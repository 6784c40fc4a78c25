"""The row of an image depends on the image and the detector alone."""

import hashlib

import pytest

from ssim_ae import Detector
from ssim_ae.batch.listing import file_of
from ssim_ae.batch.rows import inspect_images
from ssim_ae.detector.predictions import predict


@pytest.fixture(params=["tiny_run", "features_run"])
def opened(request):
    return [Detector.load(request.getfixturevalue(request.param).folder, threads=threads) for threads in (1, 2, 5)]


def test_rows_do_not_depend_on_the_other_images_or_on_threads(opened, photos):
    images = [file_of(str(path)) for path in sorted(photos.rglob("*.png"))]
    expected = list(inspect_images(opened[0], images))
    for detector in opened:
        for size in (1, 2, 5):
            groups = [images[start : start + size] for start in range(0, len(images), size)]
            assert [row for group in groups for row in inspect_images(detector, group)] == expected


def test_rows_are_those_of_predict(opened, photos):
    paths = sorted(photos.rglob("*.png"))
    rows = list(inspect_images(opened[0], [file_of(str(path)) for path in paths], threshold=0.9))
    for row, prediction in zip(rows, predict(opened[1], paths, threshold=0.9), strict=True):
        assert (row.path, row.verdict, row.score) == (prediction.path, prediction.verdict, prediction.score)
        assert (row.defect_share, row.threshold) == (prediction.defect_share, prediction.threshold)
        assert [tuple(box.values()) for box in row.defects] == [tuple(vars(box).values()) for box in prediction.defects]
        assert (row.detector, row.error) == (prediction.detector, prediction.error)


def test_a_row_describes_the_file(detector, photos, tmp_path):
    path = min((photos / "late").iterdir())
    (row,) = inspect_images(detector, [file_of(str(path))])
    assert (row.size, row.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    assert (row.width, row.height) == (64, 64)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_an_image_that_cannot_be_used_has_a_row(detector, tmp_path, content):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    (row,) = inspect_images(detector, [file_of(str(path))])
    assert row.verdict == "error"
    assert row.error.startswith(f"{path}: ")
    assert (row.size is None) == (content is None)
    assert row.score is None


def test_a_failing_machine_is_not_the_fault_of_an_image(detector):
    def fail(_):
        raise ConnectionError("the store does not answer")

    with pytest.raises(ConnectionError):
        list(inspect_images(detector, [file_of("a.png"), file_of("b.png")], read=fail))


def test_the_location_of_a_missing_file():
    assert file_of("no such file.png").size == -1
    assert file_of("a\0b.png").size == -1
