import numpy as np
import pytest
from PIL import Image, ImageDraw

from ssim_ae.augmentation.orientation import MIN_IMAGES, STEPS, _edges, _turned, range_of_turns
from ssim_ae.synthetic.built_in import DATA_SETS

BILINEAR = Image.Resampling.BILINEAR
COUNT = 48
ANY_ANGLE = 150.0  # degrees: with few images, gaps are left


def wedge(rng):
    """Draw a part that looks alike in no two orientations, near the middle of the image, (64, 64)."""
    image = Image.new("L", (64, 64), 60)
    x, y = rng.integers(-3, 4, 2).tolist()
    draw = ImageDraw.Draw(image)
    draw.polygon([(x + px, y + py) for px, py in ((12, 40), (50, 20), (54, 34), (20, 52))], fill=190)
    draw.ellipse((x + 38, y + 24, x + 48, y + 34), fill=90)
    return np.clip(np.asarray(image) + rng.normal(0, 4, (64, 64)), 0, 255) / 255


@pytest.fixture(scope="module")
def parts():
    """Parts of one orientation on a plain background, (COUNT, 1, 64, 64) in [0, 1]."""
    return np.stack([wedge(np.random.default_rng(seed))[None] for seed in range(COUNT)])


def stripes(rng, angles):
    """Draw stripes in the given directions (COUNT,), degrees, unevenly lit, (COUNT, 1, 64, 64) float32."""
    y, x = np.mgrid[:64, :64]
    angles = np.deg2rad(angles)[:, None, None]
    waves = np.sin(1.6 * (np.cos(angles) * x + np.sin(angles) * y) + rng.uniform(0, 6, (COUNT, 1, 1))) / 4 + 0.5
    light = np.kron(rng.normal(0, 0.1, (COUNT, 4, 4)), np.ones((1, 16, 16)))
    return (waves + light + rng.normal(0, 0.05, (COUNT, 64, 64))).astype(np.float32)[:, None]


def rotated(images, angle):
    """Rotate image n by angle(n) degrees; the border pixels are repeated outward."""
    padded = np.pad(np.rint(images * 255).astype(np.uint8), [(0, 0), (0, 0), (16, 16), (16, 16)], "edge")
    rotated_images = [
        [Image.fromarray(plane).rotate(angle(n), BILINEAR) for plane in image] for n, image in enumerate(padded)
    ]
    return np.stack([np.stack(planes)[:, 16:-16, 16:-16] for planes in rotated_images])


def lit(images):
    """Light images from the left, as a lamp does that stays where it is."""
    return np.uint8(images * np.linspace(1, 0.4, images.shape[3]))


def test_parts_of_one_orientation_are_not_turned(parts, rng):
    assert range_of_turns(parts) == 0
    assert range_of_turns(rotated(parts, lambda _: rng.uniform(-8, 8))) == 0, "less than a step or two"


def test_parts_at_any_angle_are_turned(parts, rng):
    any_angle = rotated(parts, lambda _: rng.uniform(0, 360))
    assert range_of_turns(any_angle) > ANY_ANGLE
    assert range_of_turns(any_angle.astype(np.float32) / 255) > ANY_ANGLE


def test_textures_are_turned_if_they_have_a_direction_and_it_varies(rng):
    assert range_of_turns(stripes(rng, np.zeros(COUNT))) == 0
    assert range_of_turns(stripes(rng, rng.uniform(0, 360, COUNT))) > ANY_ANGLE


def test_the_light_need_not_turn_with_the_part(parts, rng):
    assert range_of_turns(lit(rotated(parts, lambda _: rng.uniform(0, 360)))) > ANY_ANGLE
    assert range_of_turns(lit(255 * parts)) == 0


@pytest.mark.parametrize("angle", [20, 40])
def test_a_range_of_turns_is_measured(parts, rng, angle):
    assert abs(range_of_turns(rotated(parts, lambda _: rng.uniform(-angle, angle))) - angle) < 10


def test_parts_in_the_middle_of_wide_images_are_recognized(parts, rng):
    wide = np.pad(parts, [(0, 0), (0, 0), (0, 0), (70, 70)], "edge")
    assert range_of_turns(wide) == 0
    any_angle = np.pad(rotated(parts, lambda _: rng.uniform(0, 360)), [(0, 0), (0, 0), (0, 0), (70, 70)], "edge")
    assert range_of_turns(any_angle) > ANY_ANGLE and range_of_turns(any_angle.swapaxes(2, 3)) > ANY_ANGLE


@pytest.mark.parametrize("step", [90, 180])
def test_parts_in_a_few_orientations_are_not_turned(parts, step):
    assert range_of_turns(rotated(parts, lambda n: step * n)) == 0


def test_textures_without_a_direction_are_not_turned(rng):
    fibers = DATA_SETS["fibers"]
    images = [fibers.classes["fibers"](seed=seed, size=fibers.min_size)[0] for seed in range(MIN_IMAGES)]
    assert range_of_turns(np.stack(images)[:, None]) == 0
    assert range_of_turns(rng.integers(0, 255, (COUNT, 1, 64, 64)).astype(np.uint8)) == 0


def test_too_few_or_equal_images_are_not_turned(parts, rng):
    any_angle = rotated(parts, lambda _: rng.uniform(0, 360))
    assert range_of_turns(any_angle[: MIN_IMAGES - 1]) == 0 < range_of_turns(any_angle[:MIN_IMAGES])
    assert range_of_turns(np.full((COUNT, 1, 64, 64), 128, np.uint8)) == 0


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_edges_of_a_turned_image_are_the_turned_edges(rng, quarters):
    image = rng.random((3, 128, 128), np.float32)
    expected = _edges(np.rot90(image, quarters, axes=(1, 2)))
    assert np.allclose(_turned(_edges(image), quarters * STEPS // 4), expected, atol=1e-4)
