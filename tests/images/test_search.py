"""Image files in folders: what is found, and what is skipped for which reason."""

import os
from pathlib import Path

import pytest
from PIL import Image

from ssim_ae import InputError
from ssim_ae.images.search import Reason, Skipped, expand_paths, find_images, list_folder, walk


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), 99).save(path)
    return path


LEFT_BEHIND = (
    *(".ipynb_checkpoints", "__pycache__", ".git", ".thumbnails", "@eaDir", "__MACOSX", "$RECYCLE.BIN", ".Trash-1000"),
    *("System Volume Information", "lost+found", ".@__thumb", "#recycle", ".AppleDouble", "@Recycle"),
)


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_folders_that_other_programs_leave_are_skipped_and_named(tmp_path, name):
    found = image(tmp_path / "a.png")
    image(tmp_path / name / "a.png")
    assert list_folder(tmp_path).folders == ()
    paths, skipped = expand_paths([str(tmp_path)])
    assert paths == [found]
    assert str(skipped[tmp_path]) == f"1 item left by other programs ({name})"


def test_files_that_other_programs_leave_are_skipped(tmp_path):
    found = image(tmp_path / "a.png")
    for name in ("._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    contents = list_folder(tmp_path)
    assert contents.images == (found,) and len(contents.skipped.names[Reason.LEFT_BEHIND]) == 5
    assert str(contents.skipped) == "5 items left by other programs (.DS_Store, ._a.png, .hidden.png, ...)"


def test_everything_that_is_no_image_has_a_reason(tmp_path):
    image(tmp_path / "a_rgb.png")
    image(tmp_path / "a_depth.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "itself.png").symlink_to("itself.png")
    (tmp_path / "notes.txt").touch()
    os.mkfifo(tmp_path / "pipe.png")
    assert str(list_folder(tmp_path, "_rgb.png").skipped) == (
        "1 image without the suffix _rgb.png (a_depth.png); 2 broken links (gone.png, itself.png); "
        "2 files of another type (notes.txt, pipe.png)"
    )


def test_a_note_is_one_short_line_however_much_is_skipped():
    skipped = Skipped()
    skipped.add(Reason.OTHER_FOLDER, [f"folder {number % 50}" for number in range(10_000)])
    text = str(skipped)
    assert text == "10000 images in 50 folders that are not read (folder 0, folder 1, folder 2, ...)"
    skipped.complete = False
    assert str(skipped) == f"at least {text}"
    assert not Skipped() and str(Skipped()) == ""


@pytest.mark.parametrize("suffix", ["_rgb.png", "_RGB.PNG", "_rgb"])
def test_a_suffix_selects_images_with_and_without_that_of_the_format(tmp_path, suffix):
    found = [image(tmp_path / name) for name in ("0_rgb.png", "1_RGB.png")]
    image(tmp_path / "0_depth.png")
    (tmp_path / "0_rgb.txt").touch()
    assert find_images(tmp_path, suffix) == tuple(found)


def test_links_to_files_and_folders_are_followed_at_every_depth(tmp_path):
    real = [image(tmp_path / "real" / "0.png"), image(tmp_path / "real" / "deep" / "1.png")]
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "sub" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "data" / "2.png").symlink_to(real[0])
    data = tmp_path / "data"
    linked = [data / "2.png", data / "sub" / "link" / "0.png", data / "sub" / "link" / "deep" / "1.png"]
    assert expand_paths([str(data)]).paths == linked
    assert expand_paths([str(data / "**" / "*.png")]).paths == linked
    (tmp_path / "data2").symlink_to(data)
    assert len(expand_paths([str(tmp_path / "data2")]).paths) == 3


def test_cycles_of_links_end_and_each_folder_is_searched_once(tmp_path):
    found = [image(tmp_path / name / "0.png") for name in ("a", "b", "c")]
    for folder in found:
        for target in (*(path.parent for path in found), tmp_path):
            (folder.parent / f"to-{target.name}").symlink_to(target)
    assert [contents.folder.name for contents in walk(tmp_path)] == [tmp_path.name, "a", "b", "c"]
    assert expand_paths([str(tmp_path)]).paths == found
    assert expand_paths([str(tmp_path / "**" / "*.png")]).paths == found


def test_patterns_with_two_stars_and_brackets_in_names(tmp_path):
    found = [image(tmp_path / "x[1]" / "y" / name) for name in ("0.png", "1.png")]
    image(tmp_path / "x[1]" / ".cache" / "0.png")
    root = tmp_path / "x?1?"
    assert expand_paths([str(root / "**" / "*.png")]).paths == found
    assert expand_paths([str(root / "**" / "y" / "**" / "[01].png")]).paths == found
    assert expand_paths([str(found[0].parent)]).paths == found


def test_a_folder_that_may_not_be_opened_is_skipped(tmp_path, monkeypatch):
    found = image(tmp_path / "a" / "0.png")
    locked = image(tmp_path / "locked" / "1.png").parent

    def failing(function):
        def call(folder):
            if Path(folder) == locked:
                raise PermissionError(13, "Permission denied", str(folder))
            return function(folder)

        return call

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    paths, skipped = expand_paths([str(tmp_path)])
    assert paths == [found]
    assert str(skipped[tmp_path]) == "1 folder without permission to open (locked)"


def test_a_folder_without_images_says_what_it_has(tmp_path):
    image(tmp_path / "0_depth.png")
    with pytest.raises(InputError, match=r"no images found; skipped: 1 image without the suffix _rgb"):
        expand_paths([str(tmp_path)], "_rgb")
