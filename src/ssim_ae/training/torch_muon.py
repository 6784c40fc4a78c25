"""Muon: steps of equal length in all directions, for weights that are matrices."""

import torch
from torch import Tensor
from torch.optim import Optimizer

MOMENTUM = 0.95
QUINTIC = (3.4445, -4.7750, 2.0315)  # that takes singular values from anywhere in (0, 1] to about 1, in ...
ITERATIONS = 5
STEP = 0.4  # its root mean square, in rates; AdamW's is about .2
TINY = 1e-7


class Muon(Optimizer):
    """Nesterov's momentum made orthogonal (Jordan et al. 2024), with decoupled weight decay.

    For weights (N, M, ...) of inner layers, seen as matrices of N rows. At the same rate a step is twice as long as one
    of AdamW, whatever the shape (after Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2).
    """

    def __init__(self, weights: list[torch.nn.Parameter], *, lr: float, weight_decay: float) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Take a step along the gradients that the weights have."""
        for group in self.param_groups:
            rate = group["lr"]
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
                direction = torch.lerp(weight.grad, momentum, MOMENTUM).movedim(1, -1)
                matrix = direction.flatten(1)
                length = STEP * max(matrix.shape) ** 0.5
                weight.mul_(1 - rate * group["weight_decay"])
                weight.sub_(orthogonal(matrix).view(direction.shape).movedim(-1, 1), alpha=rate * length)


def orthogonal(matrix: Tensor) -> Tensor:
    """(N, M) -> nearly U V^T of its singular value decomposition U S V^T: .7 to 1.2 in place of 1, or less for tiny S.

    Newton-Schulz iterations on the smaller of the Gram matrices, at a third to half the cost of those on the matrix.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    matrix = matrix / (matrix.norm() + TINY)
    gram = matrix @ matrix.T
    factor = product = _factor(gram)
    for _ in range(ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = _factor(gram)
        product = factor @ product
    return product @ matrix


def _factor(gram: Tensor) -> Tensor:
    """Return what an iteration multiplies a matrix by, from its Gram matrix."""
    first, third, fifth = QUINTIC
    factor = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
    factor.diagonal().add_(first)
    return factor
