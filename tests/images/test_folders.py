from pathlib import Path

import numpy as np
import pytest

from ssim_ae import InputError
from ssim_ae.images.files import write_png
from ssim_ae.images.folders import content_hash, find_dataset, fingerprint
from ssim_ae.images.search import expand_paths, find_images


def images(folder: Path, count: int, suffix: str = ".png") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}{suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        write_png(path, np.full((8, 8), number, np.uint8))
    return paths


def test_mvtec_layout(tmp_path):
    good = images(tmp_path / "train" / "good", 3)
    images(tmp_path / "test" / "good", 2)
    images(tmp_path / "test" / "hole", 2)
    (tmp_path / "ground_truth" / "hole").mkdir(parents=True)
    write_png(tmp_path / "ground_truth" / "hole" / "001_mask.png", np.zeros((8, 8), np.uint8))
    dataset = find_dataset(tmp_path)
    assert dataset.good == tuple(good) and dataset.name == tmp_path.name
    assert [image.name for image in dataset.test] == ["good/000", "good/001", "hole/000", "hole/001"]
    assert [bool(image.mask) for image in dataset.test] == [False, False, False, True]


def test_folder_of_good_images(tmp_path):
    good = images(tmp_path, 2) + images(tmp_path, 2, ".JPG")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("hidden")
    dataset = find_dataset(tmp_path)
    assert set(dataset.good) == set(good) and dataset.test == ()


def test_good_folder_beside_defect_folders_without_masks(tmp_path):
    good = images(tmp_path / "good", 60)
    images(tmp_path / "scratch", 2)
    dataset = find_dataset(tmp_path)
    good_test = {image.path for image in dataset.test if image.defect == "good"}
    assert good_test | set(dataset.good) == set(good) and not good_test & set(dataset.good)
    assert 5 <= len(good_test) <= 20
    (tmp_path / "good" / "0000.png").write_bytes(good[0].read_bytes())
    later = {image.path for image in find_dataset(tmp_path).test if image.defect == "good"}
    assert later >= good_test, "later images do not change the split of the others"
    assert [image.name for image in dataset.test if image.defect != "good"] == ["scratch/000", "scratch/001"]


def test_without_defect_folders_all_good_images_are_for_training(tmp_path):
    good = images(tmp_path / "good", 6)
    assert find_dataset(tmp_path).good == tuple(good)


@pytest.mark.parametrize("layout", [(), ("train",), ("train/good",), ("test/good",)])
def test_a_folder_without_images_is_rejected_with_one_line(tmp_path, layout):
    for folder in layout:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(InputError, match="no images; looked in"):
        find_dataset(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_dataset(tmp_path / "none")


def test_find_images_with_a_suffix(tmp_path):
    images(tmp_path, 2)
    images(tmp_path, 3, ".bmp")
    assert len(find_images(tmp_path)) == 5
    assert len(find_images(tmp_path, ".bmp")) == 3


def test_unsupported_image_formats_are_found(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    assert find_images(tmp_path) == (tmp_path / "a.gif",)


def test_files_folders_and_patterns_are_expanded(tmp_path):
    flat = images(tmp_path / "a", 3)
    deep = images(tmp_path / "a" / "b c" / "ü", 2)
    assert expand_paths([str(tmp_path / "a")]).paths == flat + deep
    assert expand_paths([str(flat[1])]).paths == [flat[1]]
    assert expand_paths([str(tmp_path / "a" / "*.png")]).paths == flat
    assert expand_paths([str(tmp_path / "**" / "00[01].png")]).paths == sorted([*flat[:2], *deep])
    assert expand_paths([str(tmp_path / "none.png")]).paths == [tmp_path / "none.png"], (
        "reading the missing file reports the error"
    )
    assert expand_paths([str(flat[0]), str(tmp_path / "a")]).paths == flat + deep, "each file once"
    (tmp_path / "a" / ".cache").mkdir()
    images(tmp_path / "a" / ".cache", 1)
    assert expand_paths([str(tmp_path / "a")]).paths == flat + deep
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no image")
    for nothing in (tmp_path / "*.bmp", tmp_path / "*.txt", tmp_path / "a**/x", tmp_path / "empty", ""):
        with pytest.raises(InputError, match="no images found"):
            expand_paths([str(nothing)])


def test_fingerprint_depends_on_names_and_contents(tmp_path):
    hashes = {path: content_hash(path) for path in images(tmp_path, 3)}
    changed = next(iter(hashes))
    others = {path: hashes[path] for path in hashes if path != changed}
    renamed = {changed.with_name("other.png"): hashes[changed]} | others
    write_png(changed, np.full((8, 8), 99, np.uint8))
    assert content_hash(changed) != hashes[changed]
    sets = [hashes, others, renamed, {changed: content_hash(changed)} | others]
    assert len({fingerprint(each) for each in sets}) == len(sets)


def test_the_good_folder_is_found_in_any_letter_case(tmp_path):
    images(tmp_path / "train" / "good", 3)
    images(tmp_path / "test" / "Good", 1)
    assert [image.name for image in find_dataset(tmp_path).test] == ["good/000"]


def test_a_defect_type_named_all_is_rejected(tmp_path):
    images(tmp_path / "train" / "good", 3)
    images(tmp_path / "test" / "all", 1)
    with pytest.raises(InputError, match=r"test/all: the name 'all' is reserved for all defect types"):
        find_dataset(tmp_path)


def test_names_of_test_images_are_unique(tmp_path):
    images(tmp_path / "train" / "good", 3)
    images(tmp_path / "test" / "cut", 1, ".jpg")
    images(tmp_path / "test" / "cut", 1, ".jpg.png")
    names = [image.name for image in find_dataset(tmp_path).test]
    assert sorted(names) == ["cut/000.jpg", "cut/000.jpg.png"]
