from pathlib import Path

import pytest

from ssim_ae.errors import InputError
from ssim_ae.images.exclusions import exclusion_list, read_exclusions

ROOT = Path("data")
IMAGES = [ROOT / "train" / "good" / name for name in ("a.png", "b.png", "c d.png", "é.png")]


def excluded(tmp_path: Path, text: str) -> set[Path]:
    listing = tmp_path / "list.txt"
    listing.write_text(text)
    return read_exclusions(listing, IMAGES, ROOT)


def test_images_are_listed_by_name_by_path_in_the_data_set_or_by_full_path(tmp_path: Path) -> None:
    text = f"# comment\n\na.png\ntrain/good/b.png\r\n {IMAGES[2].absolute()}\n"
    assert excluded(tmp_path, text) == set(IMAGES[:3])


@pytest.mark.parametrize("text", ["x.png", "a.png\ngood/b.png", "../a.png"])
def test_a_line_that_is_no_image_is_an_error_that_names_the_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=rf"line {len(text.splitlines())}: data has no good image"):
        excluded(tmp_path, text)


def test_a_missing_list_or_one_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_exclusions(tmp_path / "none.txt", IMAGES, ROOT)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        read_exclusions(tmp_path / "binary", IMAGES, ROOT)


def test_an_image_in_the_folder_itself_is_meant_alone_whatever_others_are_named(tmp_path: Path) -> None:
    images = [tmp_path / "photos" / "a.png", tmp_path / "more" / "a.png", tmp_path / "more" / "b.png"]
    (tmp_path / "list.txt").write_text("a.png\n../more/b.png\n")
    assert read_exclusions(tmp_path / "list.txt", images, tmp_path / "photos") == {images[0], images[2]}
    for path in images:
        text = exclusion_list([path], tmp_path / "photos", [])
        assert str(tmp_path) not in text
        (tmp_path / "list.txt").write_text(text)
        assert read_exclusions(tmp_path / "list.txt", images, tmp_path / "photos") == {path}


def test_a_written_list_is_read_back(tmp_path: Path) -> None:
    odd = [*IMAGES, ROOT / "#x.png", ROOT / "line\nbreak.png", ROOT / " space.png"]
    text = exclusion_list(odd, ROOT, ["first", "second"])
    assert text.startswith("# first\n# second\ntrain/good/a.png\n")
    assert excluded(tmp_path, text) == set(IMAGES)
