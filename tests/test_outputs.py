import os

import pytest

from ssim_ae.errors import InputError
from ssim_ae.outputs import Output, check_outputs, name_key

MARK = b"written by ssim-ae"


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input.png").write_bytes(b"an image")
    (tmp_path / "earlier.csv").write_bytes(MARK + b", a table")
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "link.csv").symlink_to("input.png")
    os.link(tmp_path / "input.png", tmp_path / "hard.csv")
    return tmp_path


def check(files, *names):
    check_outputs([Output("--csv", files / name, MARK) for name in names], [files / "input.png", files / "missing.png"])


@pytest.mark.parametrize("names", [["new.csv"], ["earlier.csv"], ["empty.csv"], ["new.csv", "newer.csv"], []])
def test_new_files_and_earlier_outputs_may_be_written(files, names):
    check(files, *names)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("input.png", "an input"),
        ("./input.png", "an input"),
        ("INPUT.png", "an input"),
        ("link.csv", "an input"),
        ("hard.csv", "an input"),
        ("missing.png", "an input"),
    ],
)
def test_an_input_is_never_replaced(files, name, reason):
    with pytest.raises(InputError, match=f"{name}: {reason}, --csv would replace it"):
        check(files, name)
    assert (files / "input.png").read_bytes() == b"an image"


def test_a_file_of_another_program_is_not_replaced(files):
    (files / "notes.csv").write_text("my notes")
    with pytest.raises(InputError, match=r"notes.csv: exists, and ssim-ae did not write it"):
        check(files, "notes.csv")


@pytest.mark.parametrize(("first", "second"), [("a.csv", "a.csv"), ("a.csv", "A.csv"), ("\u00e9.csv", "e\u0301.csv")])
def test_two_outputs_have_different_names(files, first, second):
    with pytest.raises(InputError, match="written by both"):
        check(files, first, second)
    assert name_key(first) == name_key(second)


def test_a_device_may_be_written(files):
    check(files, "/dev/null")
