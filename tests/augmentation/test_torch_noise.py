import numpy as np
import pytest
import torch
from scipy import stats

from ssim_ae.augmentation.torch_noise import _levels, gaussian_noise, uniform_noise

CPU = torch.device("cpu")
SEEDS = np.array([0, 1, 2, 1000, 2**31 - 1])


@pytest.mark.parametrize(("draw", "distribution"), [(uniform_noise, stats.uniform), (gaussian_noise, stats.norm)])
def test_numbers_have_their_distribution_and_are_independent(draw, distribution):
    numbers = draw(SEEDS, (3, 63, 65), CPU).numpy().reshape(len(SEEDS), -1)
    for of_seed in numbers:
        assert stats.kstest(of_seed, distribution.cdf).pvalue > 1e-3
    after = [numbers[:, step:] for step in (1, 2, 64, 65)]
    lagged = [np.corrcoef(numbers[:, : one.shape[1]].ravel(), one.ravel())[0, 1] for one in after]
    between = np.corrcoef(numbers) - np.eye(len(SEEDS))
    assert np.abs(lagged).max() < 0.02 and np.abs(between).max() < 0.04


def test_numbers_of_a_seed_do_not_depend_on_the_batch():
    together, alone = gaussian_noise(SEEDS, (1, 5, 7), CPU), gaussian_noise(SEEDS[3:4], (1, 5, 7), CPU)
    assert torch.equal(together[3:4], alone)


def test_the_hash_is_that_of_its_source():
    """Computed with integers of any size; the counter of a seed starts at its multiple of the step."""
    value = 1000 * 0x9E3779B9 % 2**32
    value = (value ^ (value >> 16)) * 0x7FEB352D % 2**32
    value = (value ^ (value >> 15)) * 0x846CA68B % 2**32
    value ^= value >> 16
    halves = [(half + 2**15) % 2**16 for half in (value % 2**16, value >> 16)]
    assert _levels(np.array([1000]), (2,), CPU).tolist() == [halves]
