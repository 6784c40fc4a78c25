"""Methods that train a network to reconstruct images, and compare an image with its reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ssim_ae.images.size import Size
from ssim_ae.methods.trained import TRAINING_SETTINGS, LossWeights, TrainedMethod
from ssim_ae.network.architecture import LayeredNetwork

if TYPE_CHECKING:
    from ssim_ae.config import Config


class ReconstructionMethod(TrainedMethod):
    """A network of layers that is trained to reconstruct patches; the residuals are SSIM and L1."""

    own_settings = TRAINING_SETTINGS | {"crop_size", "texture", "ssim_threshold", "l1_threshold"}
    residual_names = ("ssim", "l1")
    reconstructs = True
    loss: ClassVar[LossWeights] = LossWeights(ssim=1.0)

    def smallest_side(self, config: Config) -> int:
        """Return the size of a patch: the least height and width that images can be resized to, px."""
        return config.crop_size

    def network(self, config: Config, size: Size) -> LayeredNetwork:
        """Return the network of the layer table."""
        return LayeredNetwork(self.layers(config), (config.channels, *size))
