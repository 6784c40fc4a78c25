import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ssim_ae.images.resize import CACHED_SIZES, resize, triangle_blocks

sides = st.integers(1, 150)


def dense_matrix(size: int, new_size: int) -> np.ndarray:
    distance = (2 * np.arange(size) + 1) * new_size - (2 * np.arange(new_size)[:, None] + 1) * size
    weights = np.maximum(2 * max(size, new_size) - np.abs(distance), 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(sides, sides, sides, sides, st.integers(1, 3))
def test_resize_agrees_with_dense_matrix_products(height, width, new_height, new_width, channels):
    image = np.random.default_rng(height).random((channels, height, width)).astype(np.float32)
    expected = np.einsum("hi,cij,wj->chw", dense_matrix(height, new_height), image, dense_matrix(width, new_width))
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


def assert_blocks_equal_dense_matrix(size: int, new_size: int) -> None:
    matrix = dense_matrix(size, new_size)
    outside = np.ones(matrix.shape, bool)
    for outputs, inputs, weights in triangle_blocks(size, new_size):
        assert np.array_equal(weights, matrix[outputs, inputs])
        assert weights[:, 0].any() and weights[:, -1].any(), "a block has no columns of zeros at its ends"
        outside[outputs, inputs] = False
    assert not matrix[outside].any(), "the blocks hold all weights"


@given(st.integers(1, 600), st.integers(1, 300))
def test_blocks_have_the_weights_of_the_dense_matrix(size, new_size):
    assert_blocks_equal_dense_matrix(size, new_size)


@pytest.mark.parametrize(("size", "new_size"), [(32_768, 96), (32_767, 1), (1, 1024), (3, 1000), (1000, 1001)])
def test_blocks_of_extreme_sizes_have_the_weights_of_the_dense_matrix(size, new_size):
    assert_blocks_equal_dense_matrix(size, new_size)


@pytest.mark.parametrize(("size", "new_size"), [(32_768, 256), (32_768, 1), (32_768, 4096), (1, 4096), (4096, 4096)])
def test_blocks_take_little_memory(size, new_size):
    blocks = triangle_blocks(size, new_size)
    assert all(block.weights.base is None for block in blocks), "no view that keeps a larger array"
    assert sum(block.weights.nbytes for block in blocks) <= 80 * max(size, new_size)


def test_only_the_latest_sizes_are_kept():
    for size in range(1, 3 * CACHED_SIZES):
        triangle_blocks(size, 8)
    assert triangle_blocks.cache_info().currsize == CACHED_SIZES
