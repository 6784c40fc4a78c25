import numpy as np

from ssim_ae.detectability.part import part_mask


def test_the_part_is_what_differs_from_an_even_border() -> None:
    image = np.full((50, 60, 3), 0.9, np.float32)
    image[10:30, 20:45] = 0.3
    expected = np.zeros((50, 60), bool)
    expected[10:30, 20:45] = True
    assert np.array_equal(part_mask(image), expected)


def test_a_little_noise_of_the_background_is_no_part() -> None:
    image = np.full((100, 100, 1), 0.8, np.float32) + np.random.default_rng(0).normal(0, 0.015, (100, 100, 1))
    image[40:60, 40:60] = 0.2
    assert part_mask(image.astype(np.float32)).sum() == 400


def test_a_texture_and_an_empty_image_are_part_everywhere() -> None:
    texture = np.random.default_rng(0).uniform(0, 1, (40, 40, 1)).astype(np.float32)
    assert part_mask(texture).all()
    assert part_mask(np.full((40, 40, 1), 0.5, np.float32)).all()
    assert part_mask(np.full((1, 1, 1), 0.5, np.float32)).all()
