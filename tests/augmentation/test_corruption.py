import numpy as np
import pytest
import torch

from ssim_ae.augmentation.corruption import (
    BLUR,
    CLOUDS,
    COLOUR,
    ELLIPSE,
    FILLS,
    NOTHING,
    PIECE,
    POLYGON,
    SHIFTED,
    STROKE,
    TINT,
    draw_corruption,
)
from ssim_ae.augmentation.patches import pieces_of
from ssim_ae.augmentation.torch_corruption import corrupted, opacity

SIZE = 64


@pytest.fixture
def damage(rng):
    """What is done to 200 patches."""
    return draw_corruption(200, 7, rng)


def done(damage, patches=None):
    patches = torch.full((len(damage), 3, SIZE, SIZE), 0.5) if patches is None else patches
    return corrupted(patches, torch.full_like(patches, 0.9), damage), opacity(damage, SIZE, patches.device)


def test_every_kind_of_damage_is_drawn(damage):
    damaged, mask = done(damage)
    assert damaged.shape == (200, 3, SIZE, SIZE) and mask.shape == (200, 1, SIZE, SIZE)
    assert damaged.min() >= 0 and damaged.max() <= 1 and mask.min() >= 0 and mask.max() <= 1
    present = damage.kind != NOTHING
    assert 0.04 < 1 - present.any(axis=1).mean() < 0.17
    assert set(damage.kind[present]) == {ELLIPSE, POLYGON, STROKE} and set(damage.fill) == set(FILLS)
    for kind in (ELLIPSE, POLYGON, STROKE):
        alone = ((damage.kind == kind) | (damage.kind == NOTHING)).all(axis=1) & present.any(axis=1)
        shares = (mask[torch.from_numpy(alone)] > 0).float().mean(dim=(1, 2, 3))
        assert 0 < shares.median() < 0.2, kind


def test_what_is_not_damaged_has_noise_alone(damage):
    damaged, mask = done(damage)
    change = (damaged - 0.5).abs() * (mask == 0)
    assert (change.amax(dim=(1, 2, 3)) < 6 * torch.from_numpy(damage.noise) + 1e-6).all()
    untouched = torch.from_numpy((damage.kind == NOTHING).all(axis=1))
    assert mask[untouched].max() == 0


def test_shapes_lie_where_they_should(rng):
    damage = draw_corruption(300, 1, rng)
    damage.kind[:, 0], damage.kind[:, 1:] = ELLIPSE, NOTHING
    damage.centre[:] = rng.uniform(0.3, 0.7, damage.centre.shape)
    damage.size[:], damage.softness[:] = 0.1, 0.002
    _, mask = done(damage)
    weights = (mask[:, 0] / mask.sum(dim=(1, 2, 3))[:, None, None]).numpy()
    at = (np.arange(SIZE) + 0.5) / SIZE
    middle = np.stack([weights.sum(axis=2) @ at, weights.sum(axis=1) @ at], axis=1)
    assert np.abs(middle - damage.centre[:, 0]).max() < 0.5 / SIZE
    area = (mask[:, 0] / torch.from_numpy(damage.opacity)[:, None, None]).sum(dim=(1, 2)).numpy() / SIZE**2
    assert np.allclose(area, np.pi * 0.1**2, rtol=0.1)


def test_a_stroke_passes_through_its_joints(rng):
    damage = draw_corruption(100, 1, rng)
    damage.kind[:, 0], damage.kind[:, 1:] = STROKE, NOTHING
    damage.size[:], damage.softness[:], damage.opacity[:] = 0.05, 0.001, 1
    _, mask = done(damage)
    joints = np.clip((damage.joints[:, 0] * SIZE).astype(int), 0, SIZE - 1)
    inside = ((damage.joints[:, 0] > 0.02) & (damage.joints[:, 0] < 0.98)).all(axis=2)
    hit = mask[np.arange(100)[:, None], 0, joints[:, :, 0], joints[:, :, 1]].numpy()
    assert inside.sum() > 500 and hit[inside].min() > 0.9


def test_a_part_of_the_batch_is_damaged_as_in_the_whole(damage, rng):
    patches = torch.from_numpy(rng.random((200, 1, SIZE, SIZE), np.float32))
    whole, mask = done(damage, patches)
    part, of_part = done(damage.take(slice(50, 60)), patches[50:60])
    assert torch.equal(part, whole[50:60]) and torch.equal(of_part, mask[50:60])


def test_pieces_come_from_anywhere(damage):
    picks = pieces_of(damage, 10)
    assert set(picks.image) == set(range(7)) and picks.corner.min() == 0 and picks.corner.max() == 10
    assert len(picks) == 200 and not picks.angle.any()


def alone(damage, fill):
    """Opaque, sharp, without noise, of one fill, and everywhere."""
    damage.fill[:], damage.opacity[:], damage.noise[:], damage.softness[:] = fill, 1, 0, 0.001
    damage.kind[:, 0], damage.kind[:, 1:], damage.size[:], damage.aspect[:] = ELLIPSE, NOTHING, 3, 1
    return damage


def filled(damage, fill, rng):
    patches = torch.from_numpy(rng.random((len(damage), 3, SIZE, SIZE), np.float32))
    return patches.numpy(), corrupted(patches, 1 - patches, alone(damage, fill)).numpy()


def test_a_piece_is_rolled_and_turned(damage, rng):
    damage.place[:], damage.turns[:] = (0.25, 0.5), 1
    patches, pieces = filled(damage, PIECE, rng)
    expected = np.roll(np.rot90(1 - patches, axes=(2, 3)), (SIZE // 4, SIZE // 2), (2, 3))
    assert np.abs(pieces - expected).max() < 1e-6


def test_what_is_shifted_is_the_patch_itself(damage, rng):
    damage.shift[:] = (-0.125, 0.25)
    patches, shifted = filled(damage, SHIFTED, rng)
    assert np.abs(shifted - np.roll(patches, (-SIZE // 8, SIZE // 4), (2, 3))).max() < 1e-6


def test_a_colour_is_plain(damage, rng):
    _, coloured = filled(damage, COLOUR, rng)
    assert np.abs(coloured - damage.colour[:, :, None, None]).max() < 1e-6


def test_clouds_are_smoother_the_coarser_their_grain(damage, rng):
    damage.grain[:100], damage.grain[100:] = 1 / 32, 1 / 4
    _, clouds = filled(damage, CLOUDS, rng)
    steps = np.abs(np.diff(clouds, axis=3)).mean(axis=(1, 2, 3))
    assert steps[:100].min() > 2 * steps[100:].max() > 0


def test_a_tint_changes_contrast_and_brightness(damage, rng):
    damage.contrast[:], damage.tint[:] = 0.5, (0.1, 0, -0.1)
    patches, tinted = filled(damage, TINT, rng)
    middle = patches.mean(axis=(2, 3), keepdims=True)
    assert np.abs(tinted - ((patches + middle) / 2 + damage.tint[:, :, None, None])).max() < 1e-5


def test_a_blur_keeps_the_mean_and_loses_the_grain(damage, rng):
    damage.grain[:] = 1 / 8
    patches, blurred = filled(damage, BLUR, rng)
    assert np.abs(blurred.mean(axis=(2, 3)) - patches.mean(axis=(2, 3))).max() < 0.01
    assert blurred.std(axis=(2, 3)).max() < 0.25 * patches.std(axis=(2, 3)).min()
