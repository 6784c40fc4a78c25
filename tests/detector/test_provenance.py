import pytest
from pydantic import ValidationError

from ssim_ae.detector.provenance import (
    GIVEN,
    CrossValidation,
    ImageSplit,
    Provenance,
    RateEstimate,
    ThresholdOrigin,
    installed_versions,
)
from ssim_ae.images.folders import content_hash

RATE = RateEstimate(rate=0.01, low=0.00007, high=0.043)


@pytest.fixture
def images(tmp_path):
    """Five files with different contents."""
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_text(f"content {number}")
    return paths


@pytest.mark.parametrize(
    ("estimator", "images", "rejected", "is_problem"),
    [
        ("percent", 2, 2, True),
        ("given", 1, 1, True),
        ("max", 4, 4, False),
        ("max", 5, 3, True),
        ("false_alarm_rate", 50, 25, False),
        ("false_alarm_rate", 50, 26, True),
    ],
)
def test_thresholds_that_reject_most_good_images_are_a_problem(estimator, images, rejected, is_problem):
    tested = CrossValidation(images=images, rejected=rejected)
    problem = ThresholdOrigin(estimator=estimator, cross_validation=tested).problem()
    assert bool(problem) is is_problem and (not problem or f"rejects {rejected} of {images} good images; " in problem)
    assert not ThresholdOrigin(estimator=estimator).problem()


def test_images_are_split_by_their_content_in_their_order(images, tmp_path):
    hashes = [content_hash(path) for path in images]
    provenance = Provenance(training_images=[hashes[3], hashes[0]], held_out_images=[hashes[4], hashes[1]])
    split = provenance.split(images)
    assert split == ImageSplit([images[0], images[3]], [images[1], images[4]], [images[2]], [])
    renamed = images[0].rename(tmp_path / "renamed.png")
    assert provenance.split(reversed([renamed, *images[1:]])) == ([images[3], renamed], images[4:0:-3], [images[2]], [])


def test_all_images_are_unseen_without_a_record(images):
    assert Provenance().split(images) == ImageSplit([], [], images, [])


def test_a_missing_file_or_a_folder_is_unseen(images, tmp_path):
    provenance = Provenance(training_images=[content_hash(path) for path in images])
    missing = tmp_path / "missing.png"
    assert provenance.split([missing, images[0], tmp_path]) == ImageSplit([images[0]], [], [missing, tmp_path], [])


def test_all_duplicates_of_an_image_are_in_one_part(images):
    provenance = Provenance(training_images=[content_hash(images[0])], held_out_images=[content_hash(images[1])])
    images[2].write_bytes(images[0].read_bytes())
    images[3].write_bytes(images[1].read_bytes())
    assert provenance.split(images) == ImageSplit([images[0], images[2]], [images[1], images[3]], [images[4]], [])


def test_a_held_out_duplicate_of_a_training_image_is_held_out(images):
    content = content_hash(images[0])
    provenance = Provenance(training_images=[content], held_out_images=[content])
    assert provenance.split(images[:1]) == ImageSplit([], images[:1], [], [])


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        ({}, "Thresholds were given."),
        (
            {"estimator": "false_alarm_rate", "held_out_images": 10, "training_images": 40, "expected": RATE}
            | {"cross_validation": CrossValidation(images=10, rejected=0)},
            "Expected false alarms: 1 % (90 % interval 0.007-4.3 %), from 10 held-out and 40 training images. "
            "Cross-validation: 0 of 10 rejected.",
        ),
        (
            {"estimator": "max", "held_out_images": 10, "expected": RATE},
            "Expected false alarms: 1 % (90 % interval 0.007-4.3 %), from 10 held-out images.",
        ),
        (
            {"estimator": "percent", "held_out_images": 12, "cross_validation": CrossValidation(images=12, rejected=7)},
            "Thresholds by percent, from 12 held-out images. Cross-validation: 7 of 12 rejected.",
        ),
        (
            {"estimator": "max", "held_out_images": 10, "left_out_images": 1},
            "Thresholds by max, from 10 held-out images. Left out, because they may be defective: 1 image.",
        ),
        ({"estimator": "max_area", "held_out_images": 1}, "Thresholds by max_area, from 1 held-out image."),
        (
            {"estimator": "max", "held_out_images": 1, "left_out_images": 1}
            | {"expected": RateEstimate(rate=0.5, low=0.05, high=0.998)},
            "Expected false alarms: 50 % (90 % interval 5-100 %), from 1 held-out image. "
            "Left out, because they may be defective: 1 image. If they are good, expect 100 % false alarms.",
        ),
    ],
    ids=["given", "false_alarm_rate", "max", "percent", "left-out", "one-image", "all-rejected"],
)
def test_origin_of_thresholds_in_words(origin, text):
    assert str(ThresholdOrigin(**origin)) == text


def test_thresholds_are_given_by_default():
    assert ThresholdOrigin().estimator == GIVEN and ThresholdOrigin().expected is None


@pytest.mark.parametrize(
    "values",
    [
        {"training_images": [1]},
        {"steps": "1"},
        {"minutes": float("nan")},
        {"unknown": ""},
        {"thresholds": {"held_out_images": -1}},
        {"thresholds": {"cross_validation": {"images": 2}}},
        {"thresholds": {"settings": {"percent": "98"}}},
    ],
)
def test_invalid_records_are_an_error(values):
    with pytest.raises(ValidationError):
        Provenance.model_validate(values)


def test_a_record_survives_json():
    origin = ThresholdOrigin(estimator="max", settings={"percent": 98.0, "ssim_threshold": None}, expected=RATE)
    provenance = Provenance(training_images=["a"], thresholds=origin, versions=installed_versions())
    assert Provenance.model_validate_json(provenance.model_dump_json()) == provenance
    assert Provenance.model_validate(provenance.model_dump(mode="json")) == provenance


def test_installed_versions_name_python_and_the_package():
    assert {"python", "ssim-ae", "numpy"} <= installed_versions().keys()
