"""The PyTorch engine: one step on a batch, on CPU, CUDA or Ascend, on one device or several."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from ssim_ae.augmentation.patches import PatchBatch, pieces_of
from ssim_ae.augmentation.torch_corruption import corrupted
from ssim_ae.augmentation.torch_cut import cut
from ssim_ae.config import Config
from ssim_ae.errors import InputError
from ssim_ae.machine import keep_freed_memory
from ssim_ae.network.architecture import Layer, check_weights
from ssim_ae.network.torch_network import Autoencoder
from ssim_ae.network.torch_ssim import SSIMLoss
from ssim_ae.runtimes.torch_runtime import TorchRuntime, pick_device
from ssim_ae.training.torch_muon import Muon

SQUARED = 10.0  # weight of the squared error beside 1 - SSIM, where damage is to be repaired
LARGEST_GRADIENT = 1.0  # its norm, where damage is to be repaired: one hard batch must not undo what was learned


class TorchEngine:
    """Trains the network of `table` on images (N, C, S, S), uint8 or float32 in [0, 1], that it keeps on its device."""

    def __init__(self, config: Config, table: tuple[Layer, ...], stack: np.ndarray, held_out: np.ndarray) -> None:
        self.device = pick_device(config.device_target)
        self.rank, self.workers = _join_group(config, self.device)
        self.crop_size = config.crop_size
        self.stack = torch.from_numpy(stack).to(self.device)
        self.held_out = torch.from_numpy(held_out).to(self.device)
        torch.manual_seed(config.seed)
        self.table = table
        self.network = Autoencoder(table).to_device(self.device)
        self.trained: nn.Module = self.network
        if self.workers > 1:
            self.trained = nn.parallel.DistributedDataParallel(self.network)
        self.criterion = SSIMLoss(config.crop_size).to(self.device)
        self.names = {parameter: name for name, parameter in self.network.named_parameters()}
        self.optimizers = _optimizers(config, self.network, self.device)
        self.dtype = torch.bfloat16 if _use_bf16(config.precision, self.device) else torch.float32
        if self.device.type == "cpu":
            keep_freed_memory()

    def describe(self) -> str:
        """Return what it trains on, for a person."""
        precision = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        return f"{self.device} {precision}" + (f" x {self.workers}" if self.workers > 1 else "")

    def step(self, picks: PatchBatch, rate: float) -> Tensor:
        """Take one optimizer step on a batch; return its mean loss, a scalar still on the device."""
        share = len(picks) // self.workers
        part = picks.take(slice(self.rank * share, (self.rank + 1) * share))
        loss = self._loss(self.trained, self.stack, part)
        self.network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if picks.damage is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        loss = loss.detach()
        if self.workers > 1:
            distributed.all_reduce(loss, distributed.ReduceOp.SUM)
            loss /= self.workers
        return loss

    @torch.no_grad()
    def held_out_loss(self, picks: PatchBatch, batch: int = 32) -> float:
        """Return the mean loss over patches of the held-out images, in the precision of training."""
        total = 0.0
        for start in range(0, len(picks), batch):
            part = picks.take(slice(start, start + batch))
            total += float(self._loss(self.network, self.held_out, part)) * len(part)
        return total / len(picks)

    def any_worker(self, flag: bool) -> bool:
        """Return whether `flag` is set in any worker, so that all stop at the same step."""
        if self.workers == 1:
            return flag
        flags = torch.tensor(float(flag), device=self.device)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags)

    def patches(self, picks: PatchBatch) -> np.ndarray:
        """Return what the network is shown in training, (B, C, S, S) float32, to look at."""
        patches = cut(self.stack, picks, self.crop_size)
        return self._seen(self.stack, patches, picks).cpu().numpy()

    def runtime(self) -> TorchRuntime:
        """Return a runtime that reconstructs with the weights as they are now."""
        return TorchRuntime(self.table, self.weights(), self.device)

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of the weights by name."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.network.named_parameters()}

    def load_weights(self, weights: dict[str, np.ndarray], source: str) -> None:
        """Set the weights. InputError names `source` where shapes or names differ."""
        check_weights(self.table, weights, source)
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(torch.from_numpy(weights[name]))

    def state(self) -> dict[str, np.ndarray]:
        """Return weights and the optimizers' state: all that the next step depends on."""
        arrays = self.weights()
        for name, _, state in self._states():
            arrays |= {f"{name}/{key}": value.detach().cpu().numpy().copy() for key, value in state.items()}
        return arrays

    def load_state(self, arrays: dict[str, np.ndarray], source: str) -> None:
        """Go on from a `state()`."""
        self.load_weights({name: array for name, array in arrays.items() if "/" not in name}, source)
        for name, parameter, state in self._states():
            state.clear()
            for key in [key for key in arrays if key.startswith(f"{name}/")]:
                value = torch.tensor(arrays[key], device=self.device)
                # The layout of the parameter, for the fused kernel and for equal sums
                state[key.removeprefix(f"{name}/")] = torch.empty_like(parameter).copy_(value) if value.ndim else value

    def close(self) -> None:
        """Leave the group of workers."""
        if self.workers > 1:
            distributed.destroy_process_group()

    def _states(self) -> Iterator[tuple[str, nn.Parameter, dict[str, Tensor]]]:
        """Yield each parameter's name, itself, and what its optimizer remembers of it."""
        for optimizer in self.optimizers:
            for parameter in optimizer.param_groups[0]["params"]:
                yield self.names[parameter], parameter, optimizer.state[parameter]

    def _loss(self, network: nn.Module, stack: Tensor, picks: PatchBatch) -> Tensor:
        patches = cut(stack, picks, self.crop_size)
        reconstructions = network(self._seen(stack, patches, picks).to(self.dtype))
        loss: Tensor = self.criterion(reconstructions, patches)
        if picks.damage is not None:
            loss = loss + SQUARED * functional.mse_loss(reconstructions.float(), patches)
        return loss

    def _seen(self, stack: Tensor, patches: Tensor, picks: PatchBatch) -> Tensor:
        """Return what the network is shown of patches."""
        if picks.damage is None:
            return patches
        pieces = cut(stack, pieces_of(picks.damage, stack.shape[-1] - self.crop_size), self.crop_size)
        return corrupted(patches, pieces, picks.damage)


def _optimizers(config: Config, network: Autoencoder, device: torch.device) -> list[torch.optim.Optimizer]:
    """Muon, where asked for, for the weights of all layers but the first and the last; AdamW for the others."""
    others = dict(network.named_parameters())
    inner = [others.pop(f"{layer.name}.weight") for layer in network.table[1:-1]] if config.optimizer == "muon" else []
    fused = device.type in ("cpu", "cuda")
    adamw = torch.optim.AdamW(others.values(), lr=config.lr, weight_decay=config.decay, fused=fused)
    return [adamw, Muon(inner, lr=config.lr, weight_decay=config.decay)] if inner else [adamw]


def _use_bf16(precision: str, device: torch.device) -> bool:
    if precision == "fp16":
        raise InputError("precision fp16: PyTorch trains in bf16 or fp32 here; MindSpore in fp16 too")
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False


def _join_group(config: Config, device: torch.device) -> tuple[int, int]:
    """Return this process's rank and the number of workers, as torchrun set them."""
    workers = int(os.environ.get("WORLD_SIZE", "1"))
    if workers == 1:
        if config.distribute:
            raise InputError(
                "distribute: True needs torchrun, for two devices: torchrun --nproc_per_node 2 -m ssim_ae train ..."
            )
        return 0, 1
    for variable in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        if variable not in os.environ:
            raise InputError(f"WORLD_SIZE is {workers} but {variable} is not set: start with torchrun")
    if config.batch_size % workers:
        raise InputError(f"batch_size {config.batch_size} cannot be shared equally by {workers} workers")
    backend = {"cuda": "nccl", "npu": "hccl"}.get(device.type, "gloo")
    distributed.init_process_group(backend)
    return distributed.get_rank(), workers
