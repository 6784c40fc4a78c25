import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssim_ae.images.size import Size
from ssim_ae.maps.tiles import cut_tiles, stitch_tiles, tile_starts

sizes = st.tuples(st.integers(1, 40), st.integers(0, 40), st.integers(1, 40)).map(
    lambda numbers: (numbers[0] + numbers[1], numbers[0], min(numbers[2], numbers[0]))
)


@given(sizes)
def test_tiles_cover_every_pixel(numbers):
    size, tile, stride = numbers
    covered = np.zeros(size, int)
    for start in tile_starts(size, tile, stride):
        assert 0 <= start <= size - tile
        covered[start : start + tile] += 1
    assert covered.all()


@given(sizes, st.integers(0, 40), st.integers(0, 40), st.integers(1, 3))
def test_stitching_restores_the_cut_image(numbers, more_tile, more, channels):
    height, tile_height, stride = numbers
    tile = Size(tile_height, tile_height + more_tile)
    size = Size(height, tile.width + more)
    image = np.random.default_rng(height).random((channels, *size), np.float32)
    tiles = cut_tiles(image, tile, stride)
    counts = [len(tile_starts(side, length, stride)) for side, length in zip(size, tile, strict=True)]
    assert tiles.shape == (counts[0] * counts[1], channels, *tile)
    assert np.allclose(stitch_tiles(tiles, size, stride), image, atol=1e-4)


def test_overlaps_are_averaged():
    tiles = np.stack([np.full((1, 2, 2), value, np.float32) for value in (0, 1, 2, 3)])
    assert stitch_tiles(tiles, Size(3, 3), 1)[0] == pytest.approx(np.array([[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]]))


@pytest.mark.parametrize(("size", "count"), [(256, 25), (512, 169), (250, 25)])
def test_tile_count_is_that_of_the_reference_and_covers_the_end(size, count):
    assert len(tile_starts(size, 128, 32)) ** 2 == count
