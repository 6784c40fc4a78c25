import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ssim_ae.images.resize import resize, triangle_matrix

sides = st.integers(1, 150)


@settings(deadline=None, max_examples=40)
@given(sides, sides, sides, sides, st.integers(1, 3))
def test_resize_agrees_with_dense_matrix_products(height, width, new_height, new_width, channels):
    image = np.random.default_rng(height).random((channels, height, width)).astype(np.float32)
    expected = np.einsum(
        "hi,cij,wj->chw", triangle_matrix(height, new_height), image, triangle_matrix(width, new_width)
    )
    assert np.allclose(resize(image, new_height, new_width), expected, atol=1e-5)


@pytest.mark.parametrize(("size", "new_size"), [(900, 266), (256, 266), (100, 37), (37, 100)])
def test_resize_agrees_with_pillows_bilinear_filter_up_to_rounding(rng, size, new_size):
    image = rng.random((size, size)).astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize((new_size, new_size), Image.Resampling.BILINEAR))
    assert np.abs(resize(image, new_size, new_size) - expected).max() < 1e-4


@given(sides, sides)
def test_a_constant_image_stays_constant(size, new_size):
    assert np.allclose(resize(np.full((size, size), 200, np.uint8), new_size, new_size), 200, atol=1e-3)


def test_resize_to_the_same_size_is_the_identity(rng):
    image = rng.integers(0, 256, (3, 30, 20), dtype=np.uint8)
    assert np.array_equal(resize(image, 30, 20), image)
