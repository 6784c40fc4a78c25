"""The method `reference`: the SSIM autoencoder of Bergmann et al. 2018, as in the MindSpore model zoo.

"Improving Unsupervised Defect Segmentation by Applying Structural Similarity to Autoencoders".
"""

from __future__ import annotations

from math import prod, sqrt
from typing import TYPE_CHECKING

import numpy as np

from ssim_ae.maps.regions import opening
from ssim_ae.methods.reconstruction import ReconstructionMethod
from ssim_ae.network.architecture import CODE_SIZE, Layer, halvings
from ssim_ae.network.ssim import REACH, ssim_residual
from ssim_ae.spelling import counted

if TYPE_CHECKING:
    from ssim_ae.config import Config

DAMPED_BORDER = 5  # px: near the border of the image the SSIM window covers mirrored pixels
BORDER_WEIGHT = 0.2  # of the SSIM residuals there
OPENING_RADIUS = 4  # px: smaller regions are no defects
TEXTURE_L1_WEIGHT = 0.25
TEXTURE_SMOOTHING = 1 / 50  # of the side of a square as large as the image


class ReferenceMethod(ReconstructionMethod):
    """An autoencoder with a narrow code, trained to reconstruct patches, that inspects images in tiles."""

    name = "reference"
    summary = "an autoencoder with a narrow code (Bergmann et al. 2018)"
    texture_defaults = {"online_aug": True, "z_dim": 500, "epochs": 50}  # noqa: RUF012 (a class variable in Method)
    own_settings = ReconstructionMethod.own_settings | {"z_dim", "stride"}
    engines = ("torch", "mindspore")

    def layers(self, config: Config) -> tuple[Layer, ...]:
        """Return the layer table of the network (table 1 of the paper, at patches of 128 px)."""
        return autoencoder_layers(
            crop_size=config.crop_size, channels=config.channels, z_dim=config.z_dim, flc=config.flc
        )

    def residual_weights(self, config: Config) -> tuple[float, ...]:
        """Return equal weights, and on a texture a lower one for L1, which is high on good places of it, too."""
        return (1.0, TEXTURE_L1_WEIGHT) if config.texture else (1.0, 1.0)

    def smoothing(self, config: Config) -> float:
        """Return the standard deviation of the Gaussian that the residual maps of a texture are smoothed with, px.

        An autoencoder reconstructs a random texture nowhere exactly; a defect is an area where it fails altogether.
        """
        if not config.texture:
            return 0.0
        largest = (min(config.view_size) - 1) / 2 / REACH - 1  # whose window fits
        return min(sqrt(prod(config.view_size)) * TEXTURE_SMOOTHING, largest)

    def residual_maps(self, image: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Return 1 - SSIM, damped near the border, and the absolute difference, each the mean over channels."""
        ssim = damp_border(ssim_residual(image, output).mean(axis=0))
        return np.stack([ssim, np.abs(image - output).mean(axis=0)])

    def postprocess(self, anomaly: np.ndarray) -> np.ndarray:
        """Return the morphological opening of the map with a disk.

        Thresholding commutes with maximum and with opening, so the pixels above 1 are the mask of the reference's
        pipeline: either residual above its threshold, background cleared, opened.
        """
        return opening(anomaly, radius=OPENING_RADIUS)

    def describe(self, config: Config) -> str:
        """Describe the network in a few words, as text."""
        return f"autoencoder with a code of {counted(config.z_dim, 'number')}"


METHOD = ReferenceMethod()


def damp_border(residual: np.ndarray) -> np.ndarray:
    """Multiply a residual map (H, W) float32 by BORDER_WEIGHT within DAMPED_BORDER pixels of the border."""
    inner = (slice(DAMPED_BORDER, -DAMPED_BORDER),) * 2
    damped = residual * np.float32(BORDER_WEIGHT)
    damped[inner] = residual[inner]
    return damped


def autoencoder_layers(*, crop_size: int, channels: int, z_dim: int, flc: int) -> tuple[Layer, ...]:
    """Return the layer table for patches of `crop_size` = 8 * 2^k px, k >= 2. At 128 px it is the paper's.

    Larger patches get more stride-2 layers of `flc` channels at both ends, smaller ones fewer.
    """
    encoder, decoder = _plan(halvings(crop_size) - 2, z_dim, flc)
    plan = encoder + decoder
    activations = ["leaky_relu"] * len(plan)
    activations[len(encoder) - 1] = "linear"
    activations[-1] = "sigmoid"

    table: list[Layer] = []
    counts = {"conv": 0, "conv_transpose": 0}
    in_channels = channels
    for index, (kind, out_channels, kernel, stride, padding) in enumerate(plan):
        counts[kind] += 1
        if index == len(plan) - 1:
            out_channels = channels
        name = f"{'conv' if kind == 'conv' else 'conv_trans'}{counts[kind]}"
        shape = (in_channels, out_channels, kernel, stride, padding)
        table.append(Layer(name, kind, *shape, activations[index]))  # type: ignore[arg-type]
        in_channels = out_channels
    return tuple(table)


Plan = list[tuple[str, int, int, int, int]]  # kind, output channels, kernel, stride and padding of each layer


def _plan(outer: int, z_dim: int, flc: int) -> tuple[Plan, Plan]:
    """Return the layers of encoder and decoder, with `outer` stride-2 layers at each end."""

    def same(channels: int) -> tuple[str, int, int, int, int]:
        return ("conv", channels, 3, 1, 1)

    def halve(channels: int) -> tuple[str, int, int, int, int]:
        return ("conv", channels, 4, 2, 1)

    def double(channels: int) -> tuple[str, int, int, int, int]:
        return ("conv_transpose", channels, 4, 2, 1)

    encoder = [
        *[halve(flc)] * outer,
        same(flc),
        halve(2 * flc),
        same(2 * flc),
        halve(4 * flc),
        same(2 * flc),
        same(flc),
        ("conv", z_dim, CODE_SIZE, 1, 0),
    ]
    decoder = [
        ("conv_transpose", flc, CODE_SIZE, 1, 0),
        same(2 * flc),
        same(4 * flc),
        double(2 * flc),
        same(2 * flc),
        double(flc),
        same(flc),
        *[double(flc)] * outer,
    ]
    return encoder, decoder
