import numpy as np
import pytest
import torch

from ssim_ae.augmentation.damage import LOG_GAIN_STD, STRIDE, UNDAMAGED_SHARE, damaged, draw_damages
from ssim_ae.augmentation.pieces import blended, blurred, sampled, smooth_noise, soft_shape
from ssim_ae.augmentation.torch_damage import FAINT, damaged_images, visible_change

CPU = torch.device("cpu")


@pytest.fixture
def good(rng):
    return rng.integers(0, 256, (4, 3, 64, 96)).astype(np.uint8)


def as_float(images):
    return images.astype(np.float32) / 255


def test_damage_is_a_function_of_image_and_seed(good):
    image = as_float(good[0])
    before = image.copy()
    drawn = [damaged(image, good, seed) for seed in range(200)]
    assert np.array_equal(image, before), "the image itself is left as it is"
    assert all(one.shape == image.shape and one.dtype == np.float32 for one in drawn)
    assert all(one.min() >= 0 and one.max() <= 1 for one in drawn)
    assert all(np.array_equal(one, damaged(image, good, seed)) for seed, one in enumerate(drawn[:20]))
    undamaged = np.mean([np.array_equal(one, image) for one in drawn])
    assert undamaged == pytest.approx(UNDAMAGED_SHARE, abs=0.07)


def test_what_is_drawn_into_gray_images_is_gray(good):
    gray = np.repeat(good[:, :1], 3, axis=1)
    for seed in range(50):
        drawn = damaged(as_float(gray[0]), gray, seed)
        assert (drawn == drawn[:1]).all()
    assert any(not (one == one[:1]).all() for one in (damaged(as_float(good[0]), good, seed) for seed in range(50)))


@pytest.mark.parametrize("size", [(32, 512), (512, 32), (64, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_shape_are_damaged(rng, size, channels):
    pool = rng.random((2, channels, *size), np.float32)
    flat = np.full_like(pool, 0.5)  # in which a piece is not seen
    for good, share in ((pool, 0.6), (flat, 0.2)):
        drawn = [damaged(good[0], good, seed) for seed in range(60)]
        assert all(np.isfinite(one).all() for one in drawn)
        assert np.mean([np.abs(one - good[0]).max() > FAINT for one in drawn]) > share


def test_damage_is_aimed_at_edges(rng):
    image = np.full((1, 128, 128), 0.5, np.float32)
    image[:, 48:80, 48:80] = rng.random((1, 32, 32), np.float32)
    changed = np.mean([damaged(image, image[None], seed) != image for seed in range(400)], axis=(0, 1))
    assert changed[48:80, 48:80].mean() > 20 * changed[:32, :32].mean()


def test_a_blended_piece_has_the_gradients_of_the_piece_and_the_border_of_what_is_below(rng):
    piece, below = rng.random((2, 3, 20, 31), np.float32)
    result = blended(piece, below)
    for border in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        assert np.array_equal(result[border], below[border])

    def laplacian(planes):
        inner = planes[:, 1:-1, 1:-1]
        return 4 * inner - planes[:, :-2, 1:-1] - planes[:, 2:, 1:-1] - planes[:, 1:-1, :-2] - planes[:, 1:-1, 2:]

    assert np.abs(laplacian(result) - laplacian(piece)).max() < 1e-4


def test_pieces_are_sampled_where_they_are_asked_for(rng):
    image = rng.random((2, 40, 50), np.float32)
    upright = sampled(image, (19.0, 22.0), (9, 11), 0.0, 1.0)
    assert np.allclose(upright, image[:, 15:24, 17:28], atol=1e-5)
    turned = sampled(image, (19.0, 22.0), (9, 11), np.pi, 1.0)
    assert np.allclose(turned, upright[:, ::-1, ::-1], atol=1e-4)
    assert np.isfinite(sampled(image, (-30.0, 90.0), (9, 11), 0.3, 2.0)).all()


def test_blur_noise_and_shapes_stay_in_range(rng):
    planes = rng.random((2, 12, 17), np.float32)
    expected = np.pad(planes, ((0, 0), (2, 2), (2, 2)), mode="edge")[:, 3:8, 4:9].mean(axis=(1, 2))
    assert np.allclose(blurred(planes, 2)[:, 3, 4], expected, atol=1e-6)
    for _ in range(50):
        h, w = rng.integers(5, 60, 2)
        for values in (smooth_noise(h, w, rng.uniform(2, 20), rng), soft_shape(h, w, rng)):
            assert values.shape == (h, w) and values.min() >= 0 and values.max() <= 1


def test_labels_say_where_a_change_is_visible():
    before = torch.full((1, 3, 32, 48), 0.5)
    after = before.clone()
    after[:, :, 8:16, 20:28] += 0.3
    after[:, :, 24:32, :8] += FAINT / 3
    labels = visible_change(before, after)
    assert labels.shape == (1, 1, 32 // STRIDE, 48 // STRIDE)
    assert labels[0, 0, 2:4, 5:7].min() > 0.99
    assert labels[0, 0, 6:, :2].max() < 0.2 and not labels[0, 0, :, 9:].any()
    assert not visible_change(before, before).any()


def test_inputs_and_labels_belong_together(good):
    damage = draw_damages(30, np.random.default_rng(1))
    assert np.log(damage.gain).std() == pytest.approx(LOG_GAIN_STD, rel=0.4)
    images = torch.from_numpy(as_float(good[np.arange(30) % 4]))
    inputs, labels = damaged_images(images, torch.from_numpy(good), damage, CPU)
    again = damaged_images(images[7:9], torch.from_numpy(good), damage.take(slice(7, 9)), CPU)
    assert torch.equal(inputs[7:9], again[0]) and torch.equal(labels[7:9], again[1]), "whatever the batch"
    assert inputs.min() >= 0 and inputs.max() <= 1
    gain = torch.from_numpy(damage.gain).float()[:, None, None, None]
    noise = (inputs - (images * gain).clamp(0, 1)).abs().amax(dim=(1, 2, 3))
    unlabeled = labels.amax(dim=(1, 2, 3)) == 0
    assert 0 < unlabeled.sum() < 15 and noise[unlabeled].max() < 0.1 < noise[~unlabeled].max()
