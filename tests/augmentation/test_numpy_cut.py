import numpy as np
import pytest
import torch

from ssim_ae import Config
from ssim_ae.augmentation import numpy_cut, torch_cut
from ssim_ae.training.patch_sampling import epoch_patches


@pytest.mark.parametrize("illumination_std", [0, 0.3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("size", "crop_size"), [((64, 64), 32), ((40, 90), 32), ((75, 32), 32), ((32, 32), 32)])
def test_patches_match_those_of_torch_cut(rng, dtype, size, crop_size, illumination_std):
    geometry = {"im_resize": size, "crop_size": crop_size, "p_rotate": 0.7, "rotate_angle": 180}
    config = Config(method="reference", batch_size=1, augment_num=60, illumination_std=illumination_std, **geometry)
    values = rng.random((5, 3, *size))
    images = (values * 255).astype(np.uint8) if dtype == np.uint8 else values.astype(np.float32)
    batch = epoch_patches(config, 5, 0)
    expected = torch_cut.cut_patches(torch.from_numpy(images), batch, crop_size).numpy()
    actual = numpy_cut.cut_patches(images, batch, crop_size)
    assert actual.dtype == np.float32 and actual.shape == (60, 3, crop_size, crop_size)
    assert np.abs(actual - expected).max() < 1e-4
    upright = batch.angle == 0
    assert np.abs(actual[upright] - expected[upright]).max() <= (1e-6 if illumination_std else 0)
