import numpy as np
import pytest
import torch

from ssim_ae.training.corruption import CLOUDS, COLOUR, ELLIPSE, NOTHING, PIECE, POLYGON, STROKE, draw_damage
from ssim_ae.training.patches import pieces_of
from ssim_ae.training.torch_corruption import corrupted, weighted_error

SIZE = 64


@pytest.fixture
def damage(rng):
    """What is done to 200 patches."""
    return draw_damage(200, 7, rng)


def done(damage, patches=None):
    patches = torch.full((len(damage), 3, SIZE, SIZE), 0.5) if patches is None else patches
    return corrupted(patches, torch.full_like(patches, 0.9), damage)


def test_every_kind_of_damage_is_drawn(damage):
    damaged, mask = done(damage)
    assert damaged.shape == (200, 3, SIZE, SIZE) and mask.shape == (200, 1, SIZE, SIZE)
    assert damaged.min() >= 0 and damaged.max() <= 1 and mask.min() >= 0 and mask.max() <= 1
    present = damage.kind != NOTHING
    assert 0.04 < 1 - present.any(axis=1).mean() < 0.17
    assert set(damage.kind[present]) == {ELLIPSE, POLYGON, STROKE} and set(damage.fill) == {PIECE, COLOUR, CLOUDS}
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
    damage = draw_damage(300, 1, rng)
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
    damage = draw_damage(100, 1, rng)
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


def test_the_error_weighs_more_where_nothing_is_damaged():
    clean, mask = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 0.5
    assert weighted_error(torch.ones_like(clean), clean, mask) == pytest.approx((2 + 10) / 2)
