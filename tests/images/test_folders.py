from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ssim_ae import InputError
from ssim_ae.images.files import write_png
from ssim_ae.images.folders import GOOD, as_test_images, content_hash, find_dataset, fingerprint
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


GOOD_AND_BAD = [
    ("OK", "NG"),
    ("Good", "Bad"),
    ("normal", "abnormal"),
    ("ok", "ko"),
    ("PASS", "FAIL"),
    ("defect-free", "x"),
]


@pytest.mark.parametrize(("good", "bad"), GOOD_AND_BAD)
def test_good_images_are_found_under_other_names_and_that_is_said(tmp_path, good, bad):
    learned = images(tmp_path / "a" / "train" / good, 3)
    images(tmp_path / "a" / "train" / bad, 2)
    images(tmp_path / "a" / "test" / good, 1)
    images(tmp_path / "a" / "test" / bad, 1)
    dataset = find_dataset(tmp_path / "a")
    assert dataset.good == tuple(learned) and not dataset.labeled
    assert {image.defect for image in dataset.test} == {"good", bad}
    assert dataset.notes == (
        f"train/{good}, test/{good}: counted as good",
        f"skipped: 2 images in 1 folder that is not read (train/{bad})",
    )
    images(tmp_path / "b" / good, 20)
    images(tmp_path / "b" / bad, 2)
    dataset = find_dataset(tmp_path / "b")
    assert len(dataset.good) + sum(image.defect == "good" for image in dataset.test) == 20 and dataset.labeled
    assert [image.defect for image in dataset.test][-2:] == [bad, bad]
    assert dataset.notes == (f"{good}: counted as good",)


def test_two_folders_of_good_images_both_count(tmp_path):
    for name in ("good", "OK"):
        images(tmp_path / "train" / name, 2)
        images(tmp_path / "test" / name, 1)
    dataset = find_dataset(tmp_path)
    assert len(dataset.good) == 4 and [image.name for image in dataset.test] == ["OK/000", "good/000"]
    assert dataset.notes == ("train/OK, test/OK: counted as good",)


@pytest.mark.parametrize("count", [2, 3, 4, 40])
def test_a_labeled_folder_has_good_images_for_training_and_for_evaluation(tmp_path, count):
    images(tmp_path / "good", count)
    images(tmp_path / "bad", 4)
    dataset = find_dataset(tmp_path)
    good_test = [image for image in dataset.test if image.defect == "good"]
    assert dataset.labeled and dataset.good and good_test and len(dataset.good) + len(good_test) == count
    assert not any("bad" in str(path) for path in dataset.good)


@pytest.mark.parametrize("names", [("bad",), ("test/good", "test/hole"), ("NG", "OK")])
def test_a_folder_to_evaluate_needs_no_images_for_training(tmp_path, names):
    for name in names:
        images(tmp_path / name, 1)
    dataset = find_dataset(tmp_path)
    assert len(dataset.good) + len(dataset.test) == len(names) and any(image.defect != "good" for image in dataset.test)


def test_good_images_beside_a_folder_of_bad_ones(tmp_path):
    good = images(tmp_path, 6)
    images(tmp_path / "bad", 2)
    dataset = find_dataset(tmp_path)
    assert {*dataset.good, *(image.path for image in dataset.test if image.defect == "good")} == set(good)
    assert sum(image.defect == "bad" for image in dataset.test) == 2


def test_images_that_are_learned_from_a_folder_named_bad_are_noted(tmp_path):
    images(tmp_path / "bad", 2)
    assert find_dataset(tmp_path / "bad").notes == ("all images count as good, although their folder is named bad",)


def test_what_is_skipped_is_counted_with_its_reason(tmp_path):
    images(tmp_path / "train" / "good", 3)
    images(tmp_path / "train" / "good" / "old", 2)
    images(tmp_path / "train", 1)
    images(tmp_path / "test" / "hole", 1)
    images(tmp_path / "test" / "hole" / "more", 1)
    images(tmp_path / "test" / ".ipynb_checkpoints", 1)
    images(tmp_path / "val" / "good", 4)
    images(tmp_path / "ground_truth" / "hole", 1)
    (tmp_path / "train" / "good" / "gone.png").symlink_to("nowhere")
    (tmp_path / "test" / "hole" / "notes.txt").touch()
    (tmp_path / "license.txt").touch()
    assert find_dataset(tmp_path).notes == (
        "skipped: 8 images in 4 folders that are not read (train, val/good, test/hole/more, ...); "
        "1 broken link (train/good/gone.png); 1 file of another type (test/hole/notes.txt); "
        "1 item left by other programs (test/.ipynb_checkpoints)",
    )


def test_the_suffix_of_images_separates_two_files_of_a_part(tmp_path):
    rgb = images(tmp_path, 3, "_rgb.png")
    images(tmp_path, 3, "_depth.png")
    dataset = find_dataset(tmp_path, img_suffix="_rgb.png")
    assert dataset.good == tuple(rgb)
    assert dataset.notes == (
        "skipped: 3 images without the suffix _rgb.png (000_depth.png, 001_depth.png, 002_depth.png)",
    )


def test_masks_beside_their_images_are_no_images(tmp_path):
    for folder in (tmp_path / "train" / "good", tmp_path / "test" / "hole"):
        images(folder, 2)
        images(folder, 2, "_mask.png")
    dataset = find_dataset(tmp_path)
    assert [path.name for path in dataset.good] == ["000.png", "001.png"]
    assert [(image.name, image.mask.name) for image in dataset.test] == [
        ("hole/000", "000_mask.png"),
        ("hole/001", "001_mask.png"),
    ]
    assert dataset.notes == ("skipped: 2 masks beside good images (train/good/000_mask.png, train/good/001_mask.png)",)


@pytest.mark.parametrize("name", ["masks", "Ground Truth", "GT", "ground-truth"])
def test_a_folder_of_masks_is_no_defect_type(tmp_path, name):
    images(tmp_path / "good", 2)
    images(tmp_path / "bad", 2)
    masks = images(tmp_path / name, 2)
    dataset = find_dataset(tmp_path)
    assert [image.mask for image in dataset.test if image.defect != "good"] == masks and dataset.notes == ()


@pytest.mark.parametrize("layout", ["", "test"])
@pytest.mark.parametrize("word", ["_masks", "-mask", " GT", "_ground_truth"])
def test_a_folder_of_masks_beside_each_defect_type_is_no_defect_type(tmp_path, layout, word):
    images(tmp_path / "good", 2)
    for name in ("cut", "hole"):
        images(tmp_path / layout / name, 2)
        images(tmp_path / layout / f"{name}{word}", 2)
    tested = [image for image in find_dataset(tmp_path).test if image.defect != "good"]
    assert [(image.defect, image.mask.parent.name) for image in tested] == [
        (name, f"{name}{word}") for name in ("cut", "hole") for _ in range(2)
    ]


def test_folders_named_training_and_testing_are_read(tmp_path):
    good = images(tmp_path / "Training" / "good", 3)
    images(tmp_path / "Testing" / "hole", 1)
    dataset = find_dataset(tmp_path)
    assert dataset.good == tuple(good) and [image.name for image in dataset.test] == ["hole/000"]


def test_a_missing_mask_has_the_path_that_was_looked_for(tmp_path):
    images(tmp_path / "train" / "good", 1)
    images(tmp_path / "test" / "hole", 1)
    (image,) = find_dataset(tmp_path, mask_suffix="_gt.bmp").test
    assert image.mask is None and image.expected_mask == tmp_path / "ground_truth" / "hole" / "000_gt.bmp"


def test_linked_folders_are_read(tmp_path):
    images(tmp_path / "store" / "a", 2)
    images(tmp_path / "store" / "b", 1)
    for name, target in (("train/good", "a"), ("test/hole", "b")):
        link = tmp_path / "data" / name
        link.parent.mkdir(parents=True)
        link.symlink_to(tmp_path / "store" / target)
    (tmp_path / "data" / "train" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data2").symlink_to(tmp_path / "data")
    for root in ("data", "data2"):
        dataset = find_dataset(tmp_path / root)
        assert (len(dataset.good), len(dataset.test), dataset.notes) == (2, 1, ())


OWN_FOLDERS = {
    "the folder of a run": ("config.yaml", "detector.safetensors", "loss.png", "patches.png"),
    "the folder of a report": ("index.html", "metrics.json", "contact_sheet.png"),
    "the images of a report": ("000_origin.png", "000_levels.png", "000_rec.png"),
    "the overlays of an inspection": ("000_overlay.png", "001_overlay.png"),
}


@pytest.mark.parametrize("kind", OWN_FOLDERS)
def test_folders_that_this_program_writes_are_refused(tmp_path, kind):
    good, own = tmp_path / "data" / "good", tmp_path / "data" / "out"
    images(good, 3)
    own.mkdir()
    for name in OWN_FOLDERS[kind]:
        write_png(own / name, np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match=f"out: {kind}, written by ssim-ae, not images of parts; name another folder"):
        find_dataset(own)
    with pytest.raises(InputError, match=kind):
        expand_paths([str(own)])
    dataset = find_dataset(tmp_path / "data")
    assert dataset.test == () and dataset.notes == ("skipped: 1 folder written by ssim-ae (out)",)
    paths, skipped = expand_paths([str(tmp_path / "data")])
    assert len(paths) == 3 and str(skipped[tmp_path / "data"]) == "1 folder written by ssim-ae (out)"


def test_images_of_parts_beside_overlays_are_read(tmp_path):
    images(tmp_path, 1)
    images(tmp_path, 1, "_overlay.png")
    assert len(find_dataset(tmp_path).good) == 2
    images(tmp_path / "own", 2, "_overlay.png")
    assert len(find_dataset(tmp_path / "own", img_suffix="_overlay.png").good) == 2


def test_a_folder_of_data_sets_names_them(tmp_path):
    for name in ("twill", "canvas"):
        images(tmp_path / "fabric" / name / "train" / "good", 2)
        images(tmp_path / "fabric" / name / "test" / "hole", 2)
    with pytest.raises(InputError) as caught:
        find_dataset(tmp_path)
    suggested = f"{tmp_path}/fabric/canvas or {tmp_path}/fabric/twill"
    assert str(caught.value).endswith(f"name another folder, such as {suggested}")
    assert "8 images in 4 folders that are not read" in str(caught.value)


def test_a_file_is_no_data_set(tmp_path):
    (path,) = images(tmp_path, 1)
    with pytest.raises(InputError, match=r"000.png: not a folder"):
        find_dataset(path)


def test_more_folders_have_good_images_and_copies_do_not_count(tmp_path):
    for name, content in (
        ("photos/a.png", b"1"),
        ("photos/b.png", b"2"),
        ("more/a.png", b"3"),
        ("more/b.png", b"2"),
        ("more/c.png", b"3"),
        ("split/train/good/a.png", b"44"),
        ("split/test/hole/a.png", b"55"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    found = find_dataset(tmp_path / "photos", more=[tmp_path / "more", str(tmp_path / "split")])
    names = ["photos/a.png", "photos/b.png", "more/a.png", "split/train/good/a.png"]
    assert [path.relative_to(tmp_path).as_posix() for path in found.good] == names
    assert found.test == () and found.name == "photos"
    assert found.notes == (
        "more: 1 more good image; skipped: 2 duplicates",
        "split: 1 more good image; skipped: 1 test image",
    )
    assert find_dataset(tmp_path / "photos", more=[tmp_path / "photos"]).good == found.good[:2]
    with pytest.raises(InputError, match=r"none: no such folder; restore it, or take it out of the setting more_paths"):
        find_dataset(tmp_path / "photos", more=[tmp_path / "none"])


def test_test_images_of_one_name_are_told_apart():
    good = [Path("photos/a.png"), Path("more/a.png"), Path("x/more/a.png"), Path("y/good/a.png"), Path("y/good/b.png")]
    others = [replace(as_test_images([Path("test/hole/b.png")])[0], defect="hole")]
    images = as_test_images(good, others)
    assert [image.name for image in images] == ["good/a", "more/a", "more-2/a", "good-2/a", "good/b"]
    assert [image.path for image in images] == good and {image.defect for image in images} == {GOOD}
    assert as_test_images([Path("hole/b.png"), Path("x/hole/b.png")], others)[1].name == "hole-2/b"
