import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssim_ae.detectability.drawn_defects import DEFECT_KINDS, draw_defect

GRAY = np.full((96, 120, 3), 0.5, np.float32)
TEXTURE = np.random.default_rng(0).uniform(0.2, 0.8, (96, 120, 1)).astype(np.float32)
quick = settings(max_examples=40, deadline=None)


def drawn(kind: str, size: float, contrast: float = 0.1, image: np.ndarray = GRAY, seed: int = 1) -> np.ndarray:
    return draw_defect(image, kind, size, contrast, (48, 60), np.random.default_rng(seed))


@quick
@given(st.sampled_from(sorted(DEFECT_KINDS)), st.floats(0.5, 60), st.floats(0.01, 1), st.data())
def test_a_defect_changes_pixels_near_its_center_and_stays_in_range(
    kind: str, size: float, contrast: float, data: st.DataObject
) -> None:
    center = data.draw(st.tuples(st.integers(0, 95), st.integers(0, 119)))
    changed = draw_defect(TEXTURE, kind, size, contrast, center, np.random.default_rng(1))
    assert changed.shape == TEXTURE.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    rows, columns, _ = np.nonzero(changed != TEXTURE)
    assert len(rows)
    assert max(np.abs(rows - center[0]).max(), np.abs(columns - center[1]).max()) <= size + 3


@pytest.mark.parametrize("kind", ["spot", "rough"])
@pytest.mark.parametrize("contrast", [0.05, 0.2])
def test_the_contrast_is_the_root_mean_square_inside(kind: str, contrast: float) -> None:
    change = drawn(kind, 30, contrast) - GRAY
    inside = np.abs(change).max(axis=2) > 0
    assert np.sqrt((change[inside] ** 2).mean()) == pytest.approx(contrast, rel=0.1)


def test_the_area_is_that_of_a_disk_of_the_size() -> None:
    areas = [(drawn("spot", 30, seed=seed) != GRAY).any(axis=2).sum() for seed in range(20)]
    assert np.mean(areas) == pytest.approx(np.pi * 15**2, rel=0.15)


def test_a_scratch_is_as_long_as_its_size_and_thin() -> None:
    for seed in range(5):
        rows, columns = np.nonzero((drawn("scratch", 40, seed=seed) != GRAY).any(axis=2))
        extent = np.hypot(np.ptp(rows) + 1, np.ptp(columns) + 1)
        assert 36 <= extent <= 48
        assert len(rows) < 40 * 9


def test_a_rough_region_keeps_the_mean_brightness_roughly() -> None:
    change = drawn("rough", 60, 0.1) - GRAY
    assert abs(change[change != 0].mean()) < 0.05


def test_a_misplaced_piece_is_at_most_the_piece_itself() -> None:
    assert np.array_equal(drawn("misplaced", 20, 1.0), GRAY)  # all pieces of an even image are equal
    changed = drawn("misplaced", 20, 1.0, TEXTURE)
    assert changed.min() >= TEXTURE.min()
    assert changed.max() <= TEXTURE.max()


def test_equal_seeds_draw_equal_defects_in_proportion_to_the_contrast() -> None:
    low, high = drawn("spot", 20, 0.1) - GRAY, drawn("spot", 20, 0.2) - GRAY
    assert np.allclose(2 * low, high, atol=1e-6)
    assert np.array_equal(drawn("spot", 20), drawn("spot", 20))
