"""The Muon optimizer: momentum SGD with orthogonalized updates, for weight matrices."""

import torch
from torch import Tensor
from torch.optim import Optimizer

MOMENTUM = 0.95  # decay rate of the mean gradient, per step
# Coefficients of x, x^3 and x^5: the iterations take singular values in (0, 1] close to 1 (Jordan et al. 2024)
NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_ITERATIONS = 5
UPDATE_RMS = 0.4  # root mean square of an update / learning rate; about 0.2 with AdamW
NORM_EPSILON = 1e-7  # added to the norm of a matrix, which may be 0


class Muon(Optimizer):
    """Muon (Jordan et al. 2024): orthogonalized Nesterov momentum with decoupled weight decay.

    For weights (N, M, ...) of inner layers, as matrices with N rows. At the same learning rate an update is twice as
    large as AdamW's, for any shape (after Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2).
    """

    def __init__(self, weights: list[torch.nn.Parameter], *, lr: float | Tensor, weight_decay: float) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update the weights from their gradients."""
        for group in self.param_groups:
            lr = group["lr"]
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
                direction = torch.lerp(weight.grad, momentum, MOMENTUM).movedim(1, -1)
                matrix = direction.flatten(1)
                scale = UPDATE_RMS * max(matrix.shape) ** 0.5
                update = orthogonalize(matrix).view(direction.shape).movedim(-1, 1)
                weight.mul_(1 - lr * group["weight_decay"]).sub_(update * (lr * scale))


def orthogonalize(matrix: Tensor) -> Tensor:
    """Return nearly U V^T for a matrix (N, M) with the singular value decomposition U S V^T.

    Newton-Schulz iterations take the singular values to between .7 and 1.2, and very small ones to less. They run on
    the smaller Gram matrix, at a third to half of the cost of iterations on the matrix.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalize(matrix.T).T
    matrix = matrix / (matrix.norm() + NORM_EPSILON)
    gram = matrix @ matrix.T
    factor = product = _iteration_factor(gram)
    for _ in range(NEWTON_SCHULZ_ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = _iteration_factor(gram)
        product = factor @ product
    return product @ matrix


def _iteration_factor(gram: Tensor) -> Tensor:
    """Return the matrix that one iteration multiplies a matrix by, from the Gram matrix of the latter."""
    first, third, fifth = NEWTON_SCHULZ_COEFFICIENTS
    factor = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
    factor.diagonal().add_(first)
    return factor
