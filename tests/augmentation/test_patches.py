import numpy as np
import pytest

from ssim_ae import Config
from ssim_ae.augmentation.patches import PatchBatch, illumination_weights
from ssim_ae.training.patch_sampling import epoch_patches


def test_illumination_changes_the_surroundings_of_its_grid_point():
    illumination = np.zeros((1, 4, 4), np.float32)
    illumination[0, 0, 3] = 0.5
    weights = illumination_weights(31)
    gain = 1 + (weights @ illumination @ weights.T)[0]
    assert gain[0, -1] == 1.5 == gain.max() and (gain[10:] == 1).all() and (gain[:, :21] == 1).all()
    assert weights.sum(axis=1) == pytest.approx(1)


def test_take_returns_the_chosen_patches_in_order(rng):
    batch = epoch_patches(Config(method="repair", im_resize=144, augment_num=10, batch_size=10), 5, 0)
    order = rng.permutation(10)
    taken = batch.take(order)
    assert isinstance(taken, PatchBatch) and len(taken) == len(taken.corruption) == 10
    before, after = ({**vars(one), **vars(one.corruption)} for one in (batch, taken))
    for name in before.keys() - {"corruption"}:
        assert np.array_equal(after[name], before[name][order]), name
