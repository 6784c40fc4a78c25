"""The MindSpore engine: training steps in graph mode, on CPU or Ascend, on one device or several."""

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
from ssim_ae.random_streams import Stream, random_stream
from ssim_ae.runtimes.mindspore_runtime import MindSporeRuntime, set_device

if TYPE_CHECKING:
    import mindspore
    from mindspore import Tensor

# Constants of AdamW, with PyTorch's defaults
BETA1 = 0.9  # decay rate of the first moments
BETA2 = 0.999  # decay rate of the second moments
EPSILON = 1e-8  # added to the root of the second moments
FP16_LOSS_SCALE = 1024.0  # without it the gradients, of a mean over many pixels, underflow in float16


class MindSporeEngine:
    """Trains the network of `table` on images (N, C, H, W), uint8 or float32 in [0, 1]."""

    def __init__(self, config: Config, table: tuple[Layer, ...], images: np.ndarray, held_out: np.ndarray) -> None:
        if config.optimizer != "adamw":
            raise InputError(
                f"optimizer {config.optimizer}: not supported by MindSpore; set optimizer adamw or engine torch"
            )
        set_device(config.device_target)
        self.mindspore = import_mindspore()
        self.rank, self.workers = _join_group(config)
        self.config = config
        self.table = table
        self.images = images
        self.held_out = held_out
        self.steps = 0
        self.network = network_cell(table, initial_weights(table, config.seed)).set_train()
        self.parameters = {parameter.name: parameter for parameter in self.network.trainable_params()}
        self.first_moments = self._zeros("exp_avg")
        self.second_moments = self._zeros("exp_avg_sq")
        self.precision = "fp32" if config.precision == "auto" else config.precision
        network = _mixed_precision(self.network, self.precision)
        criterion = ssim_loss(config.crop_size)

        def loss(patches: Tensor) -> Tensor:
            return criterion(network(patches), patches)

        self.loss = self.mindspore.jit(loss)
        self.update = self._compiled_update(loss)

    def describe(self) -> str:
        """Return device, precision and number of workers as text."""
        device = self.mindspore.get_context("device_target")
        return f"{device} {self.precision}, MindSpore" + (f" x {self.workers}" if self.workers > 1 else "")

    def step(self, batch: PatchBatch, lr: float) -> float:
        """Take one optimizer step; return the mean loss of the batch."""
        share = len(batch) // self.workers
        part = batch.take(slice(self.rank * share, (self.rank + 1) * share))
        patches = self.mindspore.Tensor(cut_patches(self.images, part, self.config.crop_size))
        self.steps += 1
        correction1 = 1 - BETA1**self.steps
        correction2 = sqrt(1 - BETA2**self.steps)
        factors = (lr * correction2 / correction1, EPSILON * correction2, 1 - lr * self.config.weight_decay)
        tensors = [self.mindspore.Tensor(factor, self.mindspore.float32) for factor in factors]
        return float(self.update(patches, *tensors).asnumpy())

    def held_out_loss(self, patches: PatchBatch, batch_size: int = 32) -> float:
        """Return the mean loss over patches of the held-out images, in the precision of training."""
        total = 0.0
        for start in range(0, len(patches), batch_size):
            part = patches.take(slice(start, start + batch_size))
            inputs = self.mindspore.Tensor(cut_patches(self.held_out, part, self.config.crop_size))
            total += float(self.loss(inputs).asnumpy()) * len(part)
        return total / len(patches)

    def any_worker(self, flag: bool) -> bool:
        """Return whether `flag` is set in any worker, so that all workers stop at the same step."""
        if self.workers == 1:
            return flag
        mindspore = self.mindspore
        flags = mindspore.ops.AllReduce(mindspore.ops.ReduceOp.SUM)(mindspore.Tensor([float(flag)], mindspore.float32))
        return bool(flags.asnumpy()[0])

    def patches(self, batch: PatchBatch) -> np.ndarray:
        """Return the network's input for a batch, (B, C, S, S) float32 in [0, 1]."""
        return cut_patches(self.images, batch, self.config.crop_size)

    def runtime(self) -> MindSporeRuntime:
        """Return a runtime with a copy of the current weights."""
        return MindSporeRuntime(network_cell(self.table, self.weights()))

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of the weights by name."""
        return {name: parameter.asnumpy().copy() for name, parameter in self.parameters.items()}

    def load_weights(self, weights: dict[str, np.ndarray], source: str) -> None:
        """Set the weights. InputError names `source` if names or shapes differ."""
        check_weights(self.table, weights, source)
        for name, parameter in self.parameters.items():
            self._assign(parameter, weights[name])

    def state(self) -> dict[str, np.ndarray]:
        """Return a copy of the weights and the optimizer state: everything that the next step depends on."""
        arrays = self.weights()
        for name in self.parameters if self.steps else ():
            arrays[f"{name}/exp_avg"] = self.first_moments[name].asnumpy().copy()
            arrays[f"{name}/exp_avg_sq"] = self.second_moments[name].asnumpy().copy()
            arrays[f"{name}/step"] = np.array(self.steps, np.float32)
        return arrays

    def load_state(self, arrays: dict[str, np.ndarray], source: str) -> None:
        """Set weights and optimizer state to those that `state` returned."""
        self.load_weights({name: array for name, array in arrays.items() if "/" not in name}, source)
        self.steps = 0
        for name in self.parameters:
            zeros = np.zeros(self.parameters[name].shape, np.float32)
            self.steps = int(arrays.get(f"{name}/step", 0))
            self._assign(self.first_moments[name], arrays.get(f"{name}/exp_avg", zeros))
            self._assign(self.second_moments[name], arrays.get(f"{name}/exp_avg_sq", zeros))

    def close(self) -> None:
        """Leave the process group of a distributed training."""
        if self.workers > 1:
            self.mindspore.communication.release()

    def _assign(self, parameter: mindspore.Parameter, values: np.ndarray) -> None:
        """Set a parameter; set_data would not reach a graph that is compiled already."""
        self.mindspore.ops.assign(parameter, self.mindspore.Tensor(values))

    def _zeros(self, suffix: str) -> dict[str, mindspore.Parameter]:
        """Return zeros in the shape of each parameter, by the parameter's name."""
        return {
            name: self.mindspore.Parameter(np.zeros(parameter.shape, np.float32), name=f"{name}/{suffix}")
            for name, parameter in self.parameters.items()
        }

    def _compiled_update(self, loss: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        """Return a compiled step of AdamW (Loshchilov & Hutter 2019): (patches, lr, epsilon, decay) -> mean loss.

        The caller folds the bias corrections into `lr` and `epsilon`; the weights are multiplied by `decay`.
        """
        mindspore = self.mindspore
        scale = FP16_LOSS_SCALE if self.precision == "fp16" else 1.0

        def scaled_loss(patches: Tensor) -> Tensor:
            return loss(patches) * scale

        loss_and_gradients = mindspore.value_and_grad(scaled_loss, None, list(self.parameters.values()))
        states = list(
            zip(self.parameters.values(), self.first_moments.values(), self.second_moments.values(), strict=True)
        )
        all_reduce = mindspore.ops.AllReduce(mindspore.ops.ReduceOp.SUM) if self.workers > 1 else None
        workers = self.workers

        def update(patches: Tensor, lr: Tensor, epsilon: Tensor, decay: Tensor) -> Tensor:
            value, gradients = loss_and_gradients(patches)
            value = value / scale
            if all_reduce is not None:
                value = all_reduce(value) / workers
            for (parameter, first, second), gradient in zip(states, gradients):  # noqa: B905 (graph mode has no strict)
                if all_reduce is not None:
                    gradient = all_reduce(gradient) / workers
                gradient = gradient / scale
                new_first = BETA1 * first + (1 - BETA1) * gradient
                new_second = BETA2 * second + (1 - BETA2) * gradient * gradient
                mindspore.ops.assign(first, new_first)
                mindspore.ops.assign(second, new_second)
                step = lr * new_first / (mindspore.ops.sqrt(new_second) + epsilon)
                mindspore.ops.assign(parameter, decay * parameter - step)
            return value

        return mindspore.jit(update)


def _mixed_precision(network: mindspore.nn.Cell, precision: str) -> mindspore.nn.Cell:
    """Return the network with computations in `precision`; its weights stay float32."""
    if precision == "fp32":
        return network
    mindspore = import_mindspore()
    if precision == "bf16" and mindspore.get_context("device_target") == "CPU":
        raise InputError("precision bf16: MindSpore supports it on Ascend only; set precision fp16 or fp32 on a CPU")
    dtypes = {"bf16": mindspore.bfloat16, "fp16": mindspore.float16}
    return mindspore.amp.auto_mixed_precision(network, "O2", dtypes[precision])


def initial_weights(table: tuple[Layer, ...], seed: int) -> dict[str, np.ndarray]:
    """Return Xavier-uniform weights (Glorot & Bengio 2010) and zero biases, by name."""
    rng = random_stream(seed, Stream.INITIAL_WEIGHTS)
    weights = {}
    for name, shape in weight_shapes(table).items():
        bound = sqrt(6 / ((shape[0] + shape[1]) * shape[2] * shape[3])) if len(shape) == 4 else 0.0
        weights[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
    return weights


def _join_group(config: Config) -> tuple[int, int]:
    """Return this process's rank and the number of workers, from the variables of msrun or RANK_SIZE and RANK_ID."""
    workers = int(os.environ.get("MS_WORKER_NUM", os.environ.get("RANK_SIZE", "1")))
    if workers == 1:
        if config.distribute:
            raise InputError(
                "distribute: True needs msrun; for two devices run: "
                "msrun --worker_num 2 --local_worker_num 2 train.py --engine mindspore ..."
            )
        return 0, 1
    if config.batch_size % workers:
        raise InputError(
            f"batch_size {config.batch_size}: not divisible by {workers} workers; set a multiple of {workers}"
        )
    mindspore = import_mindspore()
    mindspore.communication.init()
    return mindspore.communication.get_rank(), mindspore.communication.get_group_size()
