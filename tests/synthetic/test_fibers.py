"""The data set `fibers`: a random texture of high contrast, and defects with masks."""

from functools import cache

import numpy as np
import pytest

from ssim_ae.synthetic.fibers import DEFECTS, FIBERS, HEIGHT, WIDTH, draw

SEEDS = (3, 4, 5)


@cache
def fibers(seed: int, defect: str | None = None, difficulty: float = 0.0, size: int = 512):
    """Return an image and the mask of its defect."""
    image, mask = draw(seed=seed, size=size, defect=defect, difficulty=difficulty)
    assert (image.dtype, mask.dtype) == (np.uint8, np.bool_)
    return image.astype(int), mask


def test_images_are_wide_gray_and_good_ones_have_an_empty_mask():
    image, mask = fibers(1, size=WIDTH)
    assert image.shape == mask.shape == (HEIGHT, WIDTH) and not mask.any()
    assert fibers(1, size=FIBERS.min_size)[0].shape == (176, 256)


def test_contrast_is_high():
    images = [fibers(seed)[0] / 255 for seed in range(6)]
    assert 0.47 < np.mean(images) < 0.6
    assert 0.3 < np.mean([image.std() for image in images]) < 0.4


def test_good_images_have_nothing_in_common_at_a_place():
    first, *others = (fibers(seed)[0].ravel() for seed in SEEDS)
    assert all(abs(np.corrcoef(first, other)[0, 1]) < 0.15 for other in others)


def test_fibers_lie_in_all_directions():
    down, right = np.gradient(np.concatenate([fibers(seed)[0] for seed in range(6)]).astype(float))
    counts, _ = np.histogram(np.arctan2(down, right) % np.pi, bins=8, range=(0, np.pi), weights=np.hypot(down, right))
    assert counts.min() > 0.5 * counts.mean()


@pytest.mark.parametrize("defect", DEFECTS)
def test_equal_seeds_draw_equal_images(defect):
    (first, first_mask), (second, second_mask) = (draw(seed=6, size=256, defect=defect) for _ in range(2))
    assert np.array_equal(first, second) and np.array_equal(first_mask, second_mask)


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
@pytest.mark.parametrize("defect", DEFECTS)
def test_the_mask_is_where_the_image_changes(defect, difficulty):
    for seed in SEEDS:
        image, mask = fibers(seed, defect, difficulty)
        change = np.abs(image - fibers(seed)[0])
        near = np.any([np.roll(mask, (y, x), (0, 1)) for y in range(-3, 4) for x in range(-3, 4)], axis=0)
        assert change[~near].sum() < 0.01 * change.sum()  # tips that are too thin to be opaque
        assert change[mask].mean() > 25


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_difficult_defect_is_smaller(defect):
    def area(difficulty: float) -> int:
        return sum(fibers(seed, defect, difficulty)[1].sum() for seed in SEEDS)

    assert 0 < area(1.0) < 0.5 * area(0.0)


def test_unknown_defects_are_rejected():
    with pytest.raises(ValueError, match="moth"):
        draw(seed=0, defect="moth")


def test_a_data_set_has_few_training_images(tmp_path):
    (folder,) = FIBERS.make(tmp_path, good=1, defective=1, size=256)
    assert len(list((folder / "train" / "good").iterdir())) == 5
    assert {path.name for path in (folder / "test").iterdir()} == {"good", *DEFECTS}
