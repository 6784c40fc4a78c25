"""`train --add`: what the command prints and writes, and how it ends."""

import pytest
from tests.training.add_images.conftest import SETTINGS, current

from ssim_ae import Config, train
from ssim_ae.cli import main
from ssim_ae.training.add_images import add_images
from ssim_ae.training.recalibrate import known_images


def test_the_command_says_what_was_added_and_writes_the_report(run, more, capsys):
    assert main(["report", str(run)]) == 0
    page = (run / "report" / "index.html").read_text()
    capsys.readouterr()
    assert main(["train", "--add", str(more), str(run)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("added 6 good images to 10 (5 for training, 1 held out); thresholds: distance ")
    assert "version 2; back to the former one with: ssim-ae threshold" in printed.out
    assert "shows a former version" not in printed.err
    new_page = (run / "report" / "index.html").read_text()
    assert new_page != page and "3 held-out images" in new_page
    assert main(["train", "--add", str(more), str(run)]) == 0
    assert capsys.readouterr().out.startswith("added no images: the run keeps its 16 good images\n")


def test_held_out_images_of_one_name_are_told_apart_in_the_report(first, more, tmp_path):
    run = train(Config(dataset_path=str(first), holdout=0.6, run_eval=False, **SETTINGS), runs=tmp_path / "runs").folder
    add_images(run, more)
    held_out = known_images(current(run), run).held_out
    assert len({path.name for path in held_out}) < len(held_out)
    assert main(["report", str(run)]) == 0
    names = {path.relative_to(run / "report" / "images") for path in (run / "report" / "images").rglob("*_origin.png")}
    assert len(names) == len(held_out) and {path.parts[0] for path in names} == {"good", "more"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--add", "MORE"], "--add: name the folder of the images and the run: ssim-ae train --add FOLDER RUN"),
        (["RUN", "--add"], "argument --add: expected one argument"),
        (["--add", "", "RUN"], "--add: name the folder of the images and the run"),
        (["--add", "MORE", "RUN", "--resume", "RUN"], "--add: a run keeps its own settings"),
        (["--add", "MORE", "RUN", "--epochs", "+5"], "--add: a run keeps its own settings"),
        (["--add", "MORE", "RUN", "--config_path", "x.yaml"], "--add: a run keeps its own settings"),
        (["--add", "RUN", "MORE"], "more: a folder of images, not a run"),
        (["--resume", "RUN", "--epochs", "+5"], "add images with --add FOLDER RUN"),
    ],
)
def test_a_misused_option_is_one_line(run, more, capsys, arguments, message):
    places = {"RUN": str(run), "MORE": str(more)}
    assert main(["train", *(places.get(argument, argument) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_interrupted_command_says_that_nothing_was_added(run, more, capsys, monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("ssim_ae.training.training_result.calibrate_fitted", interrupt)
    assert main(["train", "--add", str(more), str(run)]) == 130
    assert capsys.readouterr().err.endswith("ssim-ae: interrupted; nothing is added, the run is as it was\n")


def test_an_interrupted_report_says_that_the_images_are_added(run, more, capsys, monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("ssim_ae.commands.train.report_and_print", interrupt)
    original = Config.read(run / "config.yaml").replace(run_eval=True)
    (run / "config.yaml").write_text(original.to_yaml())
    assert main(["train", "--add", str(more), str(run)]) == 130
    assert capsys.readouterr().err.endswith("; the images are added, the report is not written: ssim-ae report RUN\n")
    assert len(current(run).provenance.training_images) == 13
