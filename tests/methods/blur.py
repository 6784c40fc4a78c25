"""A toy method: the reconstruction is a blur, a convolution that is trained to remove noise."""

from dataclasses import replace

import numpy as np

from ssim_ae.augmentation.corruption import ShapeKind, draw_corruption
from ssim_ae.methods.reconstruction import LossWeights, ReconstructionMethod
from ssim_ae.network.architecture import Layer


class BlurMethod(ReconstructionMethod):
    name = "blur"
    summary = "a blur"
    defaults = {"im_resize": 64, "crop_size": 32, "epochs": 2, "augment_num": 64, "rotate_angle": 0.0}  # noqa: RUF012
    loss = LossWeights(ssim=0.0, squared_error=1.0)
    inspects_whole_image = True

    def layers(self, config):
        return (Layer("blur", "conv", config.channels, config.channels, 5, 1, 2, "linear"),)

    def draw_corruption(self, count, images, rng):
        corruption = draw_corruption(count, images, rng)
        return replace(corruption, kind=np.full_like(corruption.kind, ShapeKind.NONE), noise_std=np.full(count, 0.2))

    def residual_maps(self, image, output):
        difference = np.abs(image - output)
        return np.stack([difference.max(axis=0), difference.mean(axis=0)])

    def describe(self, config):
        return "one convolution, trained to remove noise"
