"""The frame of the network's input, and maps of it on the view."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssim_ae.alignment.choose import Alignment
from ssim_ae.alignment.frame import MAX_RATIO, Frame, strip_size, strip_to_view
from ssim_ae.alignment.pose import find_pose
from ssim_ae.alignment.strip import Strip, aligned
from ssim_ae.images.size import Size
from ssim_ae.images.view import View

STRIP = Strip(-0.35, 0.35, -0.12, 0.12)
ALIGNMENT = Alignment(STRIP)


def view(height, width):
    return View(Size(height, width), Size(height, width), 16)


def test_without_an_alignment_the_frame_is_the_view(rng):
    frame = Frame.of(view(64, 96), None, 16)
    image = rng.integers(0, 256, (50, 70, 3), np.uint8)
    assert frame.size == (64, 96) and frame.pose(image) is None
    assert np.array_equal(frame.input(image, None), view(64, 96).crop(image))
    maps = rng.random((2, 64, 96))
    assert frame.to_view(maps, None, Size(50, 70)) is maps


@pytest.mark.parametrize("size", [(200, 300), (300, 200), (256, 256)])
def test_values_return_to_where_they_came_from(draw, size):
    height, width = size
    degrees = 65 if height > width else 155
    image = draw((height / 2, width / 2, degrees, 170), height=height, width=width)
    frame = Frame.of(view(2 * height, 2 * width), ALIGNMENT, 16)
    pose = frame.pose(image)
    back = frame.to_view(frame.input(image, pose), pose, Size(height, width))[0]
    inside = frame.to_view(np.ones((1, *frame.size), np.float32), pose, Size(height, width))[0] == 1
    expected = frame.view.crop(image)[0]
    assert np.quantile(np.abs(back - expected)[inside], 0.9) < 0.05
    longer = 2 * max(height, width)
    assert np.isclose(inside.sum(), 0.7 * longer * 0.24 * longer, rtol=0.08), "nearly all of the strip is in the image"
    assert (back != 0).mean() < 1.6 * inside.mean(), "values fall to 0 near the strip"


def test_a_squeezed_view_has_the_values_at_the_same_places(draw):
    image = draw((128, 128, 30, 180))
    pose = find_pose(image)
    strip = aligned(image, pose, STRIP, 64, 192)
    whole = strip_to_view(strip, pose, STRIP, Size(256, 256), Size(256, 256))
    squeezed = strip_to_view(strip, pose, STRIP, Size(256, 256), Size(256, 64))
    means = whole[0].reshape(256, 64, 4).mean(axis=2)
    assert np.abs(squeezed[0] - means).mean() < 0.02


@given(
    st.floats(-1, 0.4),
    st.floats(0.05, 1),
    st.floats(-1, 0.4),
    st.floats(0.01, 1),
    st.integers(4, 40),
    st.integers(4, 40),
)
def test_a_strip_has_about_as_many_pixels_as_the_view(start, length, left, breadth, rows, columns):
    size = strip_size(Strip(start, start + length, left, left + breadth), Size(16 * rows, 16 * columns), 16)
    assert size.height % 16 == size.width % 16 == 0 and min(size) >= 16
    pixels = size.height * size.width / (16 * rows * 16 * columns)
    assert 1 / 3 < pixels < 3
    if min(size) >= 160:
        assert 0.8 < pixels < 1.25
        ratio = min(max(length / breadth, 1 / MAX_RATIO), MAX_RATIO)
        assert size.width / size.height == pytest.approx(ratio, rel=0.15)
