"""The PyTorch engine: one step on a batch, on CPU, CUDA or Ascend, on one device or several."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, distributed, nn

from ssim_ae.augmentation.patches import PatchBatch
from ssim_ae.config import Config
from ssim_ae.errors import InputError
from ssim_ae.machine import check_not_forked, keep_freed_memory
from ssim_ae.methods import trained_method_of
from ssim_ae.network.architecture import Layer, check_weights
from ssim_ae.network.torch_network import Autoencoder
from ssim_ae.runtimes.torch_runtime import TorchRuntime, pick_device
from ssim_ae.training.captured_step import CapturedStep, UpdateFunction
from ssim_ae.training.patch_sampling import patch_size
from ssim_ae.training.torch_batches import Batches, DamageToSegment, PatchesToReconstruct
from ssim_ae.training.torch_loss import TrainingLoss
from ssim_ae.training.torch_muon import Muon

EVALUATION_BATCH = 32  # patches at once, without gradients


class TorchEngine:
    """Trains the network of `table` on images (N, C, H, W), uint8 or float32 in [0, 1]."""

    def __init__(self, config: Config, table: tuple[Layer, ...], images: np.ndarray, held_out: np.ndarray) -> None:
        check_not_forked("PyTorch")
        self.method = trained_method_of(config)
        self.device = pick_device(config.device_target)
        self.rank, self.workers = _join_group(config, self.device)
        size = patch_size(config, images)
        kind: type[Batches] = PatchesToReconstruct if self.method.reconstructs else DamageToSegment
        self.batches = kind(size, self.device)
        with _memory_errors(f"{len(images) + len(held_out)} good images"):
            self.images, self.held_out = self.batches.stored(images), self.batches.stored(held_out)
        torch.manual_seed(config.seed)
        self.table = table
        self.network = Autoencoder(table).to_device(self.device)
        self.trained: nn.Module = self.network
        if self.workers > 1:
            self.trained = nn.parallel.DistributedDataParallel(self.network)
        self.loss = TrainingLoss(self.method.loss, size.height, self.device)
        self.names = {parameter: name for name, parameter in self.network.named_parameters()}
        self.lr = torch.tensor(config.lr, device=self.device)
        self.optimizers = _optimizers(config, self.network, self.lr)
        self.dtype = torch.bfloat16 if _use_bf16(config.precision, self.device) else torch.float32
        self.update = self._update_function()
        if self.device.type == "cpu":
            keep_freed_memory()
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # the shapes of all batches are equal

    def describe(self) -> str:
        """Return device, precision and number of workers as text."""
        precision = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        return f"{self.device} {precision}" + (f" x {self.workers}" if self.workers > 1 else "")

    def step(self, batch: PatchBatch, lr: float) -> Tensor:
        """Take one optimizer step on a batch; return its mean loss, a scalar still on the device."""
        share = len(batch) // self.workers
        own = batch.take(slice(self.rank * share, (self.rank + 1) * share))
        self.lr.fill_(lr)
        with _memory_errors(f"a batch of {len(own)} patches"):
            loss = self.update(*self.batches.pair(self.images, own))
        if self.workers > 1:
            distributed.all_reduce(loss, distributed.ReduceOp.SUM)
            loss /= self.workers
        return loss

    @torch.no_grad()
    def held_out_loss(self, patches: PatchBatch) -> float:
        """Return the mean loss over patches of the held-out images, in the precision of training."""
        total = 0.0
        for start in range(0, len(patches), EVALUATION_BATCH):
            part = patches.take(slice(start, start + EVALUATION_BATCH))
            total += float(self._loss(self.network, *self.batches.pair(self.held_out, part))) * len(part)
        return total / len(patches)

    def any_worker(self, flag: bool) -> bool:
        """Return whether `flag` is set in any worker, so that all stop at the same step."""
        if self.workers == 1:
            return flag
        flags = torch.tensor(float(flag), device=self.device)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags)

    def patches(self, batch: PatchBatch) -> np.ndarray:
        """Return the network's inputs in training, (B, C, h, w) float32 in [0, 1]."""
        inputs, _ = self.batches.pair(self.images, batch)
        return inputs.cpu().numpy()

    def runtime(self) -> TorchRuntime:
        """Return a runtime with the current weights."""
        return TorchRuntime(self.table, self.weights(), self.device)

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of the weights by name."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.network.named_parameters()}

    def load_weights(self, weights: dict[str, np.ndarray], source: str) -> None:
        """Set the weights. Raises InputError, which names `source`, if names or shapes differ."""
        check_weights(self.table, weights, source)
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(torch.from_numpy(weights[name]))

    def state(self) -> dict[str, np.ndarray]:
        """Return the weights and the state of the optimizers: everything that the next step depends on."""
        arrays = self.weights()
        for name, _, state in self._states():
            arrays |= {f"{name}/{key}": value.detach().cpu().numpy().copy() for key, value in state.items()}
        return arrays

    def load_state(self, arrays: dict[str, np.ndarray], source: str) -> None:
        """Continue from a `state()`."""
        self.load_weights({name: array for name, array in arrays.items() if "/" not in name}, source)
        for name, parameter, state in self._states():
            state.clear()
            for key in [key for key in arrays if key.startswith(f"{name}/")]:
                value = torch.tensor(arrays[key], device=self.device)
                # The layout of the parameter, for the fused kernel and for equal sums
                state[key.removeprefix(f"{name}/")] = torch.empty_like(parameter).copy_(value) if value.ndim else value
        self.update = self._update_function()

    def close(self) -> None:
        """Leave the process group."""
        if self.workers > 1:
            distributed.destroy_process_group()

    def _states(self) -> Iterator[tuple[str, nn.Parameter, dict[str, Tensor]]]:
        """Yield the name of each parameter, the parameter, and its state in the optimizer."""
        for optimizer in self.optimizers:
            for parameter in optimizer.param_groups[0]["params"]:
                yield self.names[parameter], parameter, optimizer.state[parameter]

    def _update_function(self) -> UpdateFunction:
        """Return `_update`, captured as a CUDA graph where that is possible."""
        is_captured = self.device.type == "cuda" and self.workers == 1
        return CapturedStep(self._update) if is_captured else self._update

    def _update(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Take one optimizer step on a batch of inputs and what to return for them; return its mean loss."""
        self.network.zero_grad(set_to_none=True)
        loss = self._loss(self.trained, inputs, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.method.max_gradient_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.method.max_gradient_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach()

    def _loss(self, network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(network(inputs.to(self.dtype)), targets)


@contextmanager
def _memory_errors(cause: str) -> Iterator[None]:
    """Raise InputError, one line, if the memory of the device is too small for `cause`."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        advice = "lower --batch_size, --resolution or --flc"
        raise InputError(f"training: the memory of the device is too small for {cause}; {advice}") from error


def _optimizers(config: Config, network: Autoencoder, lr: Tensor) -> list[torch.optim.Optimizer]:
    """Return AdamW for all parameters or, with muon, Muon for the weights of inner layers and AdamW for the others."""
    others = dict(network.named_parameters())
    inner = [others.pop(f"{layer.name}.weight") for layer in network.table[1:-1]] if config.optimizer == "muon" else []
    kind = lr.device.type
    decay = config.weight_decay
    adamw = torch.optim.AdamW(
        others.values(), lr=lr, weight_decay=decay, fused=kind in ("cpu", "cuda"), capturable=kind == "cuda"
    )
    return [adamw, Muon(inner, lr=lr, weight_decay=decay)] if inner else [adamw]


def _use_bf16(precision: str, device: torch.device) -> bool:
    if precision == "fp16":
        raise InputError("precision fp16: not supported by the engine torch; use bf16 or fp32")
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False


def _join_group(config: Config, device: torch.device) -> tuple[int, int]:
    """Return the rank of this process and the number of workers, as torchrun sets them."""
    workers = int(os.environ.get("WORLD_SIZE", "1"))
    if workers == 1:
        if config.distribute:
            raise InputError(
                "distribute: needs torchrun; for two devices: torchrun --nproc_per_node 2 -m ssim_ae train ..."
            )
        return 0, 1
    for variable in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        if variable not in os.environ:
            raise InputError(f"{variable}: not set, though WORLD_SIZE is {workers}; start with torchrun")
    if config.batch_size % workers:
        raise InputError(f"batch_size {config.batch_size}: not divisible by {workers} workers; change it")
    backend = {"cuda": "nccl", "npu": "hccl"}.get(device.type, "gloo")
    distributed.init_process_group(backend)
    return distributed.get_rank(), workers
