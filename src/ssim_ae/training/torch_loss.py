"""The training loss of a method, in PyTorch."""

import torch
from torch import Tensor
from torch.nn import functional

from ssim_ae.methods.trained import LossWeights
from ssim_ae.network.torch_ssim import SSIMLoss


class TrainingLoss:
    """The weighted sum of the terms of a loss, for square patches of `side` px if SSIM is among them."""

    def __init__(self, weights: LossWeights, side: int, device: torch.device) -> None:
        self.weights = weights
        self.ssim_loss = SSIMLoss(side).to(device) if weights.ssim else None

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a network's outputs, of any precision, and their targets, both of the same shape."""
        loss = targets.new_zeros(())
        if self.ssim_loss:
            loss = loss + self.weights.ssim * self.ssim_loss(outputs, targets)
        if self.weights.squared_error:
            loss = loss + self.weights.squared_error * functional.mse_loss(outputs.float(), targets)
        if self.weights.focal:
            loss = loss + self.weights.focal * focal_loss(outputs.float(), targets)
        return loss


def focal_loss(log_odds: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of log-odds and labels in [0, 1], each weighted by its error (Lin et al. 2017)."""
    losses = functional.binary_cross_entropy_with_logits(log_odds, labels, reduction="none")
    return (losses * (torch.sigmoid(log_odds.detach()) - labels).abs()).mean()
