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
NOISE_LEVELS = 2.0  # gray levels, standard deviation of the sensor noise
SIZES = {"connector": (500, 1280), "plate": (1800, 2400)}
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


def left_edge(image: np.ndarray) -> int:
    """Return the column in which the part begins, at a third of the height."""
    rows = image[len(image) // 3 : len(image) // 3 + 20].reshape(20, image.shape[1], -1).mean(axis=(0, 2))
    return int(np.argmax(rows > (rows.min() + rows.max()) / 2))


def detail(image: np.ndarray) -> np.ndarray:
    """Return the differences of neighboring rows, (H - 1, W)."""
    return np.diff(image.reshape(*image.shape[:2], -1).mean(axis=2), axis=0)


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
def test_good_images_differ_in_position_light_and_texture(name: str) -> None:
    first, second = (good(name, seed) for seed in SEEDS)
    assert np.abs(first - second).mean() > 2 * NOISE_LEVELS
    assert abs(first.mean() - second.mean()) > 0.3
    edges = [left_edge(image) for image in (first, second)]
    assert 1 <= abs(edges[0] - edges[1]) <= 14
    height, width = first.shape[:2]
    middle = np.s_[height // 3 : height // 2, width // 2 : width // 2 + 100]
    correlation = np.corrcoef(detail(first)[middle].ravel(), detail(second)[middle].ravel())[0, 1]
    assert abs(correlation) < 0.5  # the texture is drawn anew


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
    }
