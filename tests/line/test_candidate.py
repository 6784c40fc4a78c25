"""The way from a review to a new version: propose, compare, adopt, roll back."""

import getpass
import os
import shutil
from pathlib import Path

import pytest

from ssim_ae import Detector
from ssim_ae.cli import main
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.run_folder import version_paths
from ssim_ae.line.candidate import adopt
from ssim_ae.line.entries import Filters
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.queries import all_entries
from ssim_ae.line.reviews import Review, add_review
from ssim_ae.line.version_changes import changes_of


def reviewed_as(place, verdict):
    with InspectionLog.open(place) as log:
        return {log.image_path(entry.id) for entry in all_entries(log, Filters(review=verdict))}


@pytest.fixture
def place(reviewed_place):
    return reviewed_place


@pytest.mark.parametrize("options", [[], ["--learn"]], ids=["threshold", "learn"])
def test_from_reviews_to_a_version_and_back(run, place, capsys, options):
    before = (run / "detector.safetensors").read_bytes()
    assert main(["review", "apply", str(run), "--log", place, *options]) == 0
    shown = capsys.readouterr().out
    assert (
        "confirmed good" in shown and "nok -> ok" in shown and f"pictures: {run / 'candidate' / 'changes.png'}" in shown
    )
    assert (run / "candidate" / "changes.png").exists()
    assert (run / "detector.safetensors").read_bytes() == before, "nothing is adopted by itself"
    assert main(["review", "adopt", str(run)]) == 0
    assert "version 2; back to the former one" in capsys.readouterr().out
    assert not (run / "candidate").exists() and len(version_paths(run)) == 2
    detector = Detector.load(run)
    good = [detector.inspect(path).verdict for path in reviewed_as(place, "good")]
    assert "ok" in good and (options or good == ["ok", "ok"])
    known = {*detector.provenance.training_images, *detector.provenance.held_out_images}
    assert not known & {entry_hash(path) for path in reviewed_as(place, "defective")}
    assert len(known & {entry_hash(path) for path in reviewed_as(place, "good")}) == (2 if options else 0)
    assert main(["threshold", str(run), "--rollback"]) == 0
    assert (run / "detector.safetensors").read_bytes() == before


def entry_hash(path):
    from ssim_ae.images.folders import content_hash

    return content_hash(path)


def test_reviewed_images_do_not_count_for_the_false_alarm_rate(run, place):
    former = read_detector(run / "detector.safetensors").provenance
    main(["review", "apply", str(run), "--log", place])
    raised = read_detector(run / "candidate" / "detector.safetensors").provenance.thresholds
    assert raised.expected == former.thresholds.expected and "at most" in str(raised)
    main(["review", "apply", str(run), "--log", place, "--learn"])
    learned = read_detector(run / "candidate" / "detector.safetensors").provenance
    assert len(learned.training_images) == len(former.training_images) + 2
    assert learned.held_out_images == former.held_out_images
    assert learned.thresholds.held_out_images == former.thresholds.held_out_images


def test_a_candidate_of_another_detector_is_not_adopted(run, place, capsys):
    assert main(["review", "apply", str(run), "--log", place]) == 0
    assert main(["threshold", str(run), "--distance_threshold", "99", "--force"]) == 0
    capsys.readouterr()
    assert main(["review", "adopt", str(run)]) == 2
    message = f"ssim-ae: {run}: has another detector since its candidate was made; make a new candidate\n"
    assert capsys.readouterr().err == message


def test_a_candidate_that_was_interrupted_is_not_adopted(run, place, monkeypatch):
    def interrupt(*_arguments, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr("ssim_ae.line.candidate.write_atomic", interrupt)
    main(["review", "apply", str(run), "--log", place])
    monkeypatch.undo()
    with pytest.raises(ValueError, match="has no candidate"):
        adopt(run)


@pytest.mark.parametrize("named", [True, False])
def test_who_adopts_is_in_the_log(run, place, monkeypatch, named):
    user = getpass.getuser() if named else str(os.getuid())
    if not named:  # as in a container that is started with the number of a user
        monkeypatch.setattr(getpass, "getuser", lambda: {}["uid not found"])
    main(["review", "apply", str(run), "--log", place])
    assert main(["review", "adopt", str(run), "--log", place]) == 0
    with InspectionLog.open(place) as log:
        (change,) = changes_of(log, run.name)
    assert (change.person, change.action, change.version) == (user, "adopted", 2)
    assert change.fingerprint == read_detector(run / "detector.safetensors").fingerprint


FAULTS = {
    "no log": (["apply", "RUN"], "--log: required; name the log with the reviews"),
    "no reviews": (
        ["apply", "RUN", "--log", "LOG", "--detector", "other"],
        "RUN: no kept image was reviewed as good; review some on the page History",
    ),
    "no candidate": (["adopt", "RUN"], "RUN: has no candidate; make one with: ssim-ae review apply"),
    "more": (
        ["adopt", "RUN", "--learn"],
        "review adopt: takes the run, --log, and with it --detector; leave out the others",
    ),
    "no log of that name": (["adopt", "RUN", "--log", "none"], "none: no log; name the folder or URL"),
    "no run": (["apply", "none", "--log", "LOG"], "none: no such file or run"),
}


@pytest.mark.parametrize(("arguments", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line(run, place, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    names = {"RUN": run.name, "LOG": "reviewed"}
    assert main(["review", *[names.get(argument, argument) for argument in arguments]]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"ssim-ae: {message.replace('RUN', run.name)}") and error.count("\n") == 1


def test_a_method_that_trains_raises_thresholds_only(tiny_run, images_of_tiny, tmp_path, capsys):
    run = Path(shutil.copytree(tiny_run.folder, tmp_path / "twill-1"))
    place = str(tmp_path / "log")
    main(["predict", str(run), *images_of_tiny, "--log", place, "--keep", "all"])
    with InspectionLog.open(place) as log:
        highest = max(all_entries(log, Filters()), key=lambda entry: entry.score)
        add_review(log, Review(inspections=[highest.id], verdict="good"))
    capsys.readouterr()
    assert main(["review", "apply", str(run), "--log", place, "--learn"]) == 2
    assert "method reference is trained, and its images stay what they are" in capsys.readouterr().err
    assert not (run / "candidate").exists()
    status = main(["review", "apply", str(run), "--log", place])
    if highest.score > 1:
        assert status == 0 and Detector.load(run / "candidate").inspect(reviewed_as(place, "good").pop()).score <= 1
    else:
        assert "accepts all 1 confirmed good image already" in capsys.readouterr().err


@pytest.fixture
def images_of_tiny(fabric_folder):
    return [str(path) for path in sorted((fabric_folder / "test").rglob("*.png"))]
