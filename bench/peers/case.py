"""A workload of the benchmarks: a network, its batch size, and a pair of images. Needs NumPy alone."""

import json
from typing import NamedTuple, Self

import numpy as np

from ssim_ae.methods.reference import autoencoder_layers
from ssim_ae.network.architecture import Layer


class Case(NamedTuple):
    """A network of the method `reference`, its batch size, and the size in px of the images that patches are cut from.

    The fields are named after settings, except `channels` and `batch`.
    """

    crop_size: int
    channels: int
    z_dim: int
    flc: int
    batch: int
    im_resize: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the case that `str` wrote."""
        return cls(*json.loads(text))

    def __str__(self) -> str:
        return json.dumps(self)

    @property
    def network_name(self) -> str:
        """The name of the network in tables."""
        return f"{self.crop_size} px {'gray' if self.channels == 1 else 'RGB'}, z_dim {self.z_dim}"

    @property
    def name(self) -> str:
        """The name of the case in tables."""
        return f"{self.network_name}, batch {self.batch}"

    @property
    def table(self) -> tuple[Layer, ...]:
        """The layer table of the network."""
        return autoencoder_layers(crop_size=self.crop_size, channels=self.channels, z_dim=self.z_dim, flc=self.flc)

    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        """Return a batch of images and simulated reconstructions, both (B, C, S, S) float32 in [0, 1]."""
        rng = np.random.default_rng(0)
        shape = (self.batch, self.channels, self.crop_size, self.crop_size)
        images = rng.random(shape, np.float32)
        return images, np.clip(images + np.float32(0.2) * rng.standard_normal(shape, np.float32), 0, 1)
