import numpy as np
import pytest
import torch

from ssim_ae.augmentation.corruption import Fill, ShapeKind, draw_corruption
from ssim_ae.augmentation.patches import corruption_pieces
from ssim_ae.augmentation.torch_corruption import apply_corruption, opacity_mask

SIZE = 64


@pytest.fixture
def corruption(rng):
    """Corruption of 200 patches."""
    return draw_corruption(200, 7, rng)


def applied(corruption, patches=None):
    """Return corrupted patches and the opacity mask; the default of `patches` is gray."""
    patches = torch.full((len(corruption), 3, SIZE, SIZE), 0.5) if patches is None else patches
    corrupted = apply_corruption(patches, torch.full_like(patches, 0.9), corruption)
    return corrupted, opacity_mask(corruption, SIZE, patches.device)


def test_every_shape_and_fill_is_drawn(corruption):
    corrupted, mask = applied(corruption)
    assert corrupted.shape == (200, 3, SIZE, SIZE) and mask.shape == (200, 1, SIZE, SIZE)
    assert corrupted.min() >= 0 and corrupted.max() <= 1 and mask.min() >= 0 and mask.max() <= 1
    present = corruption.kind != ShapeKind.NONE
    assert 0.04 < 1 - present.any(axis=1).mean() < 0.17
    kinds = set(ShapeKind) - {ShapeKind.NONE}
    assert set(corruption.kind[present]) == kinds and set(corruption.fill) == set(Fill)
    for kind in kinds:
        alone = ((corruption.kind == kind) | (corruption.kind == ShapeKind.NONE)).all(axis=1) & present.any(axis=1)
        shares = (mask[torch.from_numpy(alone)] > 0).float().mean(dim=(1, 2, 3))
        assert 0 < shares.median() < 0.2, kind


def test_pixels_outside_of_shapes_change_by_noise_alone(corruption):
    corrupted, mask = applied(corruption)
    change = (corrupted - 0.5).abs() * (mask == 0)
    assert (change.amax(dim=(1, 2, 3)) < 6 * torch.from_numpy(corruption.noise_std) + 1e-6).all()
    uncorrupted = torch.from_numpy((corruption.kind == ShapeKind.NONE).all(axis=1))
    assert mask[uncorrupted].max() == 0


def test_ellipses_have_the_given_center_and_area(rng):
    corruption = draw_corruption(300, 1, rng)
    corruption.kind[:, 0], corruption.kind[:, 1:] = ShapeKind.ELLIPSE, ShapeKind.NONE
    corruption.center[:] = rng.uniform(0.3, 0.7, corruption.center.shape)
    corruption.size[:], corruption.softness[:] = 0.1, 0.002
    _, mask = applied(corruption)
    weights = (mask[:, 0] / mask.sum(dim=(1, 2, 3))[:, None, None]).numpy()
    coordinates = (np.arange(SIZE) + 0.5) / SIZE
    middle = np.stack([weights.sum(axis=2) @ coordinates, weights.sum(axis=1) @ coordinates], axis=1)
    assert np.abs(middle - corruption.center[:, 0]).max() < 0.5 / SIZE
    area = (mask[:, 0] / torch.from_numpy(corruption.opacity)[:, None, None]).sum(dim=(1, 2)).numpy() / SIZE**2
    assert np.allclose(area, np.pi * 0.1**2, rtol=0.1)


def test_a_stroke_contains_its_vertices(rng):
    corruption = draw_corruption(100, 1, rng)
    corruption.kind[:, 0], corruption.kind[:, 1:] = ShapeKind.STROKE, ShapeKind.NONE
    corruption.size[:], corruption.softness[:], corruption.opacity[:] = 0.05, 0.001, 1
    _, mask = applied(corruption)
    vertices = np.clip((corruption.stroke_vertices[:, 0] * SIZE).astype(int), 0, SIZE - 1)
    inside = ((corruption.stroke_vertices[:, 0] > 0.02) & (corruption.stroke_vertices[:, 0] < 0.98)).all(axis=2)
    hit = mask[np.arange(100)[:, None], 0, vertices[:, :, 0], vertices[:, :, 1]].numpy()
    assert inside.sum() > 500 and hit[inside].min() > 0.9


def test_corruption_of_a_patch_does_not_depend_on_the_batch(corruption, rng):
    patches = torch.from_numpy(rng.random((200, 1, SIZE, SIZE), np.float32))
    whole, mask = applied(corruption, patches)
    part, part_mask = applied(corruption.take(slice(50, 60)), patches[50:60])
    assert torch.equal(part, whole[50:60]) and torch.equal(part_mask, mask[50:60])


def test_pieces_come_from_all_images_and_positions(corruption):
    pieces = corruption_pieces(corruption, (42, 52), 32)
    assert set(pieces.image) == set(range(7)) and pieces.corner.min() == 0
    assert pieces.corner.max(axis=0).tolist() == [10, 20]
    assert len(pieces) == 200 and not pieces.angle.any() and not pieces.flipped.any()


def with_fill_everywhere(corruption, fill):
    """Set one fill, opaque and sharp, that covers whole patches, without noise."""
    corruption.fill[:], corruption.opacity[:], corruption.noise_std[:], corruption.softness[:] = fill, 1, 0, 0.001
    corruption.kind[:, 0], corruption.kind[:, 1:] = ShapeKind.ELLIPSE, ShapeKind.NONE
    corruption.size[:], corruption.aspect[:] = 3, 1
    return corruption


def filled(corruption, fill, rng):
    patches = torch.from_numpy(rng.random((len(corruption), 3, SIZE, SIZE), np.float32))
    return patches.numpy(), apply_corruption(patches, 1 - patches, with_fill_everywhere(corruption, fill)).numpy()


def test_a_shifted_fill_is_the_shifted_patch(corruption, rng):
    corruption.shift[:] = (-0.125, 0.25)
    patches, shifted = filled(corruption, Fill.SHIFTED, rng)
    assert np.abs(shifted - np.roll(patches, (-SIZE // 8, SIZE // 4), (2, 3))).max() < 1e-6


def test_a_color_fill_is_uniform(corruption, rng):
    _, colored = filled(corruption, Fill.COLOR, rng)
    assert np.abs(colored - corruption.color[:, :, None, None]).max() < 1e-6


def test_smooth_noise_is_smoother_with_a_coarser_grain(corruption, rng):
    corruption.grain[:100], corruption.grain[100:] = 1 / 32, 1 / 4
    _, noise = filled(corruption, Fill.SMOOTH_NOISE, rng)
    steps = np.abs(np.diff(noise, axis=3)).mean(axis=(1, 2, 3))
    assert steps[:100].min() > 2 * steps[100:].max() > 0


def test_a_tint_changes_contrast_and_brightness(corruption, rng):
    corruption.contrast[:], corruption.tint[:] = 0.5, (0.1, 0, -0.1)
    patches, tinted = filled(corruption, Fill.TINT, rng)
    mean = patches.mean(axis=(2, 3), keepdims=True)
    assert np.abs(tinted - ((patches + mean) / 2 + corruption.tint[:, :, None, None])).max() < 1e-5


def test_a_blur_keeps_the_mean_and_reduces_the_variation(corruption, rng):
    corruption.grain[:] = 1 / 8
    patches, blurred = filled(corruption, Fill.BLUR, rng)
    assert np.abs(blurred.mean(axis=(2, 3)) - patches.mean(axis=(2, 3))).max() < 0.01
    assert blurred.std(axis=(2, 3)).max() < 0.25 * patches.std(axis=(2, 3)).min()


@pytest.mark.parametrize("turns", range(4))
def test_pieces_are_rotated_before_they_are_shifted(corruption, rng, turns):
    corruption.piece_position[:], corruption.piece_quarter_turns[:] = (0.25, 0.5), turns
    patches, pieces = filled(corruption, Fill.PIECE, rng)
    expected = np.roll(np.rot90(1 - patches, turns, axes=(2, 3)), (SIZE // 4, SIZE // 2), (2, 3))
    assert np.abs(pieces - expected).max() < 1e-6
