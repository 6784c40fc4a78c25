import numpy as np
import pytest
import torch

from ssim_ae import Config
from ssim_ae.augmentation import numpy_cut, torch_cut
from ssim_ae.augmentation.patches import epoch_patches


@pytest.mark.parametrize("light", [0, 0.3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("size", "crop_size"), [(64, 32), (40, 32), (32, 32)])
def test_the_same_patches_as_pytorch_cuts(rng, dtype, size, crop_size, light):
    settings = {"im_resize": size, "crop_size": crop_size, "p_rotate": 0.7, "rotate_angle": 180, "light": light}
    config = Config(batch_size=1, augment_num=60, **settings)
    images = rng.random((5, 3, size, size))
    stack = (images * 255).astype(np.uint8) if dtype == np.uint8 else images.astype(np.float32)
    picks = epoch_patches(config, 5, 0)
    expected = torch_cut.cut(torch.from_numpy(stack), picks, crop_size).numpy()
    found = numpy_cut.cut(stack, picks, crop_size)
    assert found.dtype == np.float32 and found.shape == (60, 3, crop_size, crop_size)
    assert np.abs(found - expected).max() < 1e-4
    assert np.array_equal(found[picks.angle == 0], expected[picks.angle == 0])
