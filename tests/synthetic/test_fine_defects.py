"""The data sets with fine defects, `connector` and `plate`: reproducible images, exact masks, varying good images."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from ssim_ae.synthetic.built_in import DATA_SETS
from ssim_ae.synthetic.data_set import DataSet

NAMES = ("connector", "plate")
SEEDS = (3, 4)
SIZES = {"connector": (500, 1280), "plate": (1800, 2400)}
# Regions (top, bottom, left, right), in shares of the height and width
EVEN = {"connector": (0.0, 0.06, 0.1, 0.9), "plate": (0.62, 0.70, 0.52, 0.60)}
TEXTURED = {"connector": (0.58, 0.66, 0.25, 0.295), "plate": (0.62, 0.70, 0.52, 0.60)}
CASES = [(name, defect) for name in NAMES for defect in DATA_SETS[name].defects]


def draw(
    name: str, seed: int, defect: str | None = None, difficulty: float = 0.0, size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an image of the one class of a data set; return it as int, and its mask."""
    data_set = DATA_SETS[name]
    image, mask = data_set.classes[name](seed=seed, size=size or data_set.size, defect=defect, difficulty=difficulty)
    assert (image.dtype, mask.dtype) == (np.uint8, np.bool_)
    return image.astype(int), mask


@cache
def good(name: str, seed: int) -> np.ndarray:
    """Return a good image."""
    return draw(name, seed)[0]


class Defective(NamedTuple):
    """An image with a defect, its mask, and its change by the defect in gray levels, (H, W)."""

    image: np.ndarray
    mask: np.ndarray
    change: np.ndarray


@cache
def defective(name: str, seed: int, defect: str, difficulty: float) -> Defective:
    """Return an image with a defect."""
    image, mask = draw(name, seed, defect, difficulty)
    change = np.abs(image - good(name, seed))
    return Defective(image, mask, change if change.ndim == 2 else change.max(axis=-1))


def extent(mask: np.ndarray) -> int:
    """Return the longer side of the box around a mask, px."""
    rows, columns = np.nonzero(mask)
    return int(max(np.ptp(rows), np.ptp(columns))) + 1


@cache
def small_images(name: str) -> list[np.ndarray]:
    """Return good images, small and in gray."""
    images = [draw(name, seed, size=DATA_SETS[name].min_size)[0] for seed in range(8)]
    return [image.reshape(*image.shape[:2], -1).mean(axis=2) for image in images]


def region(image: np.ndarray, top: float, bottom: float, left: float, right: float) -> np.ndarray:
    """Return a region of an image, given in shares of its height and width."""
    height, width = image.shape
    return image[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]


def left_edge(image: np.ndarray) -> int:
    """Return the column in which the part begins, at a third of the height."""
    row = region(image, 0.3, 0.36, 0, 1).mean(axis=0)
    return int(np.argmax(row > (row.min() + row.max()) / 2))


@pytest.mark.parametrize("name", NAMES)
def test_good_images_have_their_size_and_an_empty_mask(name: str) -> None:
    image, mask = draw(name, 1)
    assert image.shape[:2] == mask.shape == SIZES[name]
    assert image.ndim == (3 if name == "connector" else 2)
    assert not mask.any()


@pytest.mark.parametrize(("name", "size", "shape"), [("connector", 640, (250, 640)), ("plate", 1600, (1200, 1600))])
def test_the_height_follows_from_the_width(name: str, size: int, shape: tuple[int, int]) -> None:
    image, mask = draw(name, 1, DATA_SETS[name].defects[0], size=size)
    assert image.shape[:2] == mask.shape == shape
    assert mask.any()


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_draw_equal_images(name: str) -> None:
    first, second = (draw(name, 6, DATA_SETS[name].defects[0], 0.5, size=960) for _ in range(2))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])


@pytest.mark.parametrize("name", NAMES)
def test_good_images_differ_in_position(name: str) -> None:
    edges = [left_edge(image) for image in small_images(name)]
    assert 4 <= np.ptp(edges) <= 16


@pytest.mark.parametrize("name", NAMES)
def test_good_images_differ_in_light(name: str) -> None:
    levels = [region(image, *EVEN[name]).mean() for image in small_images(name)]
    assert 0.03 < np.ptp(levels) / np.mean(levels) < 0.3


@pytest.mark.parametrize("name", NAMES)
def test_good_images_differ_in_texture(name: str) -> None:
    details = [np.diff(region(image, *TEXTURED[name]), axis=0) for image in small_images(name)]
    correlations = np.corrcoef([detail.ravel() for detail in details])
    assert abs(correlations[~np.eye(len(details), dtype=bool)].mean()) < 0.1


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
@pytest.mark.parametrize(("name", "defect"), CASES)
def test_the_mask_is_where_the_image_changes(name: str, defect: str, difficulty: float) -> None:
    for seed in SEEDS:
        _, mask, change = defective(name, seed, defect, difficulty)
        assert change[~mask].max() <= 6  # below the least change in a mask, and rounding
        assert (change[mask] >= 4).mean() > 0.6
        assert change[mask].max() > 20


@pytest.mark.parametrize(("name", "defect"), CASES)
def test_a_difficult_defect_has_less_contrast_or_size(name: str, defect: str) -> None:
    def amount(difficulty: float) -> int:
        return sum(defective(name, seed, defect, difficulty).change.sum() for seed in SEEDS)

    assert amount(1.0) < 0.75 * amount(0.0)


def test_cracks_are_long_thin_and_on_the_body() -> None:
    for difficulty, shortest, longest in ((0.0, 60, 190), (1.0, 20, 60)):
        for seed in SEEDS:
            mask = defective("connector", seed, "crack", difficulty).mask
            assert shortest <= extent(mask) <= longest
            thick = Image.fromarray(np.uint8(255) * mask).reduce(6)
            assert np.asarray(thick).max() < 255  # nowhere 6 px wide
            rows, columns = np.nonzero(mask)
            assert rows.min() > 120 and rows.max() < 380 and columns.min() > 110 and columns.max() < 1170


@pytest.mark.parametrize("defect", DATA_SETS["plate"].defects)
def test_defects_of_plates_are_about_10_px_at_any_size(defect: str) -> None:
    masks = [defective("plate", seed, defect, 0.0).mask for seed in SEEDS]
    masks.append(draw("plate", 3, defect, size=960)[1])
    assert all(8 <= extent(mask) <= 15 for mask in masks)


@pytest.mark.parametrize("defect", DATA_SETS["plate"].defects)
def test_defects_of_plates_are_plain_at_full_size_and_nearly_gone_at_256_px(defect: str) -> None:
    for seed in SEEDS:
        image, mask, change = defective("plate", seed, defect, 0.0)
        row, column = (int(positions.mean()) for positions in np.nonzero(mask))
        assert change.max() > 5 * good("plate", seed)[row - 30 : row + 30, column - 30 : column + 30].std()
        reduced, without = (
            np.asarray(Image.fromarray(pixels.astype(np.uint8)).resize((256, 192), Image.Resampling.BOX), float)
            for pixels in (image, good("plate", seed))
        )
        assert np.abs(reduced - without).max() < change.max() / 4


@pytest.mark.parametrize("name", NAMES)
def test_unknown_defects_are_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="moth"):
        draw(name, 0, "moth")


def test_the_seeds_of_data_sets_are_kept() -> None:
    """The order of classes and defects is part of the seeds: a new one comes last."""

    def order(data_set: DataSet) -> tuple[list[str], tuple[str, ...]]:
        return list(data_set.classes), data_set.defects

    assert {name: order(data_set) for name, data_set in DATA_SETS.items()} == {
        "fabric": (["twill", "canvas", "badge"], ("cut", "hole", "stain", "thread", "displaced", "color")),
        "connector": (["connector"], ("crack", "chip", "missing_lead")),
        "plate": (["plate"], ("pit", "speck", "scratch")),
        "fibers": (["fibers"], ("bead", "gap", "clump", "flattened")),
    }
