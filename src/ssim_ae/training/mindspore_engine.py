"""The MindSpore engine: one step on a batch in graph mode, on CPU or Ascend, on one device or several."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from ssim_ae.augmentation.numpy_cut import cut_patches
from ssim_ae.augmentation.patches import PatchBatch
from ssim_ae.config import Config
from ssim_ae.errors import InputError
from ssim_ae.frameworks import import_mindspore
from ssim_ae.network.architecture import Layer, check_weights, weight_shapes
from ssim_ae.network.mindspore_network import network_cell
from ssim_ae.network.mindspore_ssim import ssim_loss
from ssim_ae.runtimes.mindspore_runtime import MindSporeRuntime, set_device

if TYPE_CHECKING:
    import mindspore
    from mindspore import Tensor

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of AdamW, as in PyTorch
LOSS_SCALE = 1024.0  # the gradient of a mean over many px would be nothing in float16


class MindSporeEngine:
    """Trains the network of `table` on images (N, C, S, S), uint8 or float32 in [0, 1]."""

    def __init__(self, config: Config, table: tuple[Layer, ...], stack: np.ndarray, held_out: np.ndarray) -> None:
        if config.optimizer != "adamw":
            raise InputError(f"optimizer {config.optimizer}: MindSpore trains with adamw here, PyTorch with both")
        set_device(config.device_target)
        self.mindspore = import_mindspore()
        self.rank, self.workers = _join_group(config)
        self.config, self.table, self.stack, self.held_out = config, table, stack, held_out
        self.steps = 0
        self.network = network_cell(table, initial_weights(table, config.seed)).set_train()
        self.parameters = {parameter.name: parameter for parameter in self.network.trainable_params()}
        self.means, self.squares = (self._zeros(kind) for kind in ("exp_avg", "exp_avg_sq"))
        self.precision = "fp32" if config.precision == "auto" else config.precision
        trained = _mixed(self.network, self.precision)
        criterion = ssim_loss(config.crop_size)

        def loss(patches: Tensor) -> Tensor:
            return criterion(trained(patches), patches)

        self.loss = self.mindspore.jit(loss)
        self.update = self._update_of(loss)

    def describe(self) -> str:
        """Return what it trains on, for a person."""
        device = self.mindspore.get_context("device_target")
        return f"{device} {self.precision}, MindSpore" + (f" x {self.workers}" if self.workers > 1 else "")

    def step(self, picks: PatchBatch, rate: float) -> float:
        """Take one optimizer step on a batch; return its mean loss."""
        share = len(picks) // self.workers
        mine = picks.take(slice(self.rank * share, (self.rank + 1) * share))
        patches = self.mindspore.Tensor(cut_patches(self.stack, mine, self.config.crop_size))
        self.steps += 1
        correction, root = 1 - BETAS[0] ** self.steps, sqrt(1 - BETAS[1] ** self.steps)
        numbers = (rate * root / correction, EPSILON * root, 1 - rate * self.config.weight_decay)
        tensors = (self.mindspore.Tensor(number, self.mindspore.float32) for number in numbers)
        return float(self.update(patches, *tensors).asnumpy())

    def held_out_loss(self, picks: PatchBatch, batch: int = 32) -> float:
        """Return the mean loss over patches of the held-out images, in the precision of training."""
        total = 0.0
        for start in range(0, len(picks), batch):
            part = picks.take(slice(start, start + batch))
            patches = self.mindspore.Tensor(cut_patches(self.held_out, part, self.config.crop_size))
            total += float(self.loss(patches).asnumpy()) * len(part)
        return total / len(picks)

    def any_worker(self, flag: bool) -> bool:
        """Return whether `flag` is set in any worker, so that all stop at the same step."""
        if self.workers == 1:
            return flag
        mindspore = self.mindspore
        flags = mindspore.ops.AllReduce(mindspore.ops.ReduceOp.SUM)(mindspore.Tensor([float(flag)], mindspore.float32))
        return bool(flags.asnumpy()[0])

    def patches(self, picks: PatchBatch) -> np.ndarray:
        """Return training patches, (B, C, S, S) float32, to look at."""
        return cut_patches(self.stack, picks, self.config.crop_size)

    def runtime(self) -> MindSporeRuntime:
        """Return a runtime that reconstructs with the weights as they are now."""
        return MindSporeRuntime(network_cell(self.table, self.weights()))

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of the weights by name."""
        return {name: parameter.asnumpy().copy() for name, parameter in self.parameters.items()}

    def load_weights(self, weights: dict[str, np.ndarray], source: str) -> None:
        """Set the weights. InputError names `source` where shapes or names differ."""
        check_weights(self.table, weights, source)
        for name, parameter in self.parameters.items():
            parameter.set_data(self.mindspore.Tensor(weights[name]))

    def state(self) -> dict[str, np.ndarray]:
        """Return weights and optimizer state: all that the next step depends on."""
        arrays = self.weights()
        for name in self.parameters if self.steps else ():
            arrays[f"{name}/exp_avg"] = self.means[name].asnumpy().copy()
            arrays[f"{name}/exp_avg_sq"] = self.squares[name].asnumpy().copy()
            arrays[f"{name}/step"] = np.array(self.steps, np.float32)
        return arrays

    def load_state(self, arrays: dict[str, np.ndarray], source: str) -> None:
        """Go on from a `state()`."""
        self.load_weights({name: array for name, array in arrays.items() if "/" not in name}, source)
        self.steps = 0
        for name in self.parameters:
            zeros = np.zeros(self.parameters[name].shape, np.float32)
            self.steps = int(arrays.get(f"{name}/step", 0))
            self.means[name].set_data(self.mindspore.Tensor(arrays.get(f"{name}/exp_avg", zeros)))
            self.squares[name].set_data(self.mindspore.Tensor(arrays.get(f"{name}/exp_avg_sq", zeros)))

    def close(self) -> None:
        """Leave the group of workers."""
        if self.workers > 1:
            self.mindspore.communication.release()

    def _zeros(self, kind: str) -> dict[str, mindspore.Parameter]:
        return {
            name: self.mindspore.Parameter(np.zeros(parameter.shape, np.float32), name=f"{name}/{kind}")
            for name, parameter in self.parameters.items()
        }

    def _update_of(self, loss: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        """Return a step of AdamW (Loshchilov & Hutter 2019) with its bias corrections in the numbers it is given."""
        mindspore = self.mindspore
        scale = LOSS_SCALE if self.precision == "fp16" else 1.0

        def scaled(patches: Tensor) -> Tensor:
            return loss(patches) * scale

        gradients_of = mindspore.value_and_grad(scaled, None, list(self.parameters.values()))
        states = list(zip(self.parameters.values(), self.means.values(), self.squares.values(), strict=True))
        all_reduce = mindspore.ops.AllReduce(mindspore.ops.ReduceOp.SUM) if self.workers > 1 else None
        workers, (fade, fade_squares) = self.workers, BETAS

        def update(patches: Tensor, rate: Tensor, epsilon: Tensor, kept: Tensor) -> Tensor:
            value, gradients = gradients_of(patches)
            value = value / scale
            if all_reduce is not None:
                value = all_reduce(value) / workers
            for (parameter, mean, square), gradient in zip(states, gradients):  # noqa: B905 (graph mode has no strict)
                if all_reduce is not None:
                    gradient = all_reduce(gradient) / workers
                gradient = gradient / scale
                new_mean = fade * mean + (1 - fade) * gradient
                new_square = fade_squares * square + (1 - fade_squares) * gradient * gradient
                mindspore.ops.assign(mean, new_mean)
                mindspore.ops.assign(square, new_square)
                step = rate * new_mean / (mindspore.ops.sqrt(new_square) + epsilon)
                mindspore.ops.assign(parameter, kept * parameter - step)
            return value

        return mindspore.jit(update)


def _mixed(network: mindspore.nn.Cell, precision: str) -> mindspore.nn.Cell:
    """Return the network as it computes in a precision; its weights stay float32."""
    if precision == "fp32":
        return network
    mindspore = import_mindspore()
    if precision == "bf16" and mindspore.get_context("device_target") == "CPU":
        raise InputError("precision bf16: MindSpore has it on Ascend alone; fp16 or fp32 on a CPU")
    kinds = {"bf16": mindspore.bfloat16, "fp16": mindspore.float16}
    return mindspore.amp.auto_mixed_precision(network, "O2", kinds[precision])


def initial_weights(table: tuple[Layer, ...], seed: int) -> dict[str, np.ndarray]:
    """Return Xavier-uniform weights, biases 0."""
    rng = np.random.default_rng([seed, 4])
    weights = {}
    for name, shape in weight_shapes(table).items():
        bound = sqrt(6 / ((shape[0] + shape[1]) * shape[2] * shape[3])) if len(shape) == 4 else 0.0
        weights[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
    return weights


def _join_group(config: Config) -> tuple[int, int]:
    """Return this process's rank and the number of workers, as msrun or RANK_SIZE and RANK_ID set them."""
    workers = int(os.environ.get("MS_WORKER_NUM", os.environ.get("RANK_SIZE", "1")))
    if workers == 1:
        if config.distribute:
            raise InputError(
                "distribute: True needs msrun, for two devices: "
                "msrun --worker_num 2 --local_worker_num 2 train.py --engine mindspore ..."
            )
        return 0, 1
    if config.batch_size % workers:
        raise InputError(f"batch_size {config.batch_size} cannot be shared equally by {workers} workers")
    mindspore = import_mindspore()
    mindspore.communication.init()
    return mindspore.communication.get_rank(), mindspore.communication.get_group_size()
