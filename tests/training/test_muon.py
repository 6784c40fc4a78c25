"""Muon compared with PyTorch's implementation and with singular value decompositions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ssim_ae import Config
from ssim_ae.methods.repair import METHOD
from ssim_ae.training.patch_sampling import epoch_patches
from ssim_ae.training.torch_engine import TorchEngine
from ssim_ae.training.torch_muon import UPDATE_RMS, Muon, orthogonalize

STATE = {"adamw": {"exp_avg", "exp_avg_sq", "step"}, "muon": {"momentum"}}


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**16), st.floats(1e-3, 1e3))
def test_orthogonalize_keeps_singular_vectors_and_takes_singular_values_to_about_one(rows, columns, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    matrix = scale * torch.randn((rows, columns), generator=generator, dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    in_basis = left.T @ orthogonalize(matrix) @ right.T  # diagonal, if the singular vectors are the same
    new_values = in_basis.diagonal()[values > 0.01 * values.norm()]
    assert torch.allclose(in_basis, torch.diag(in_basis.diagonal()), atol=1e-6)
    assert new_values.min() > 0.65 and new_values.max() < 1.25


def test_a_zero_matrix_stays_zero():
    assert not orthogonalize(torch.zeros(3, 5)).any()


@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
def test_updates_agree_with_those_of_pytorchs_muon(shape):
    """PyTorch iterates in bfloat16, hence the tolerance."""
    torch.manual_seed(0)
    start = torch.randn(shape)
    ours, theirs = nn.Parameter(start[..., None, None].clone()), nn.Parameter(start.clone())
    ratio = UPDATE_RMS / 0.2  # of the update sizes, ours to PyTorch's
    optimizers = (
        Muon([ours], lr=0.05, weight_decay=0.1 * ratio),
        torch.optim.Muon([theirs], lr=0.05 * ratio, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(5):
        gradient = torch.randn(shape)
        ours.grad, theirs.grad = gradient[..., None, None].clone(), gradient
        for optimizer in optimizers:
            optimizer.step()
    moved = (theirs - start).norm()
    assert (ours[..., 0, 0] - theirs).norm() < 0.01 * moved


def test_updates_do_not_depend_on_the_memory_layout():
    torch.manual_seed(0)
    start, gradient = torch.randn(6, 5, 3, 3), torch.randn(6, 5, 3, 3)
    moved = []
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = nn.Parameter(start.clone().to(memory_format=layout))
        weight.grad = gradient.clone()
        Muon([weight], lr=1.0, weight_decay=0.0).step()
        moved.append((weight - start).detach())
    assert torch.allclose(*moved, atol=1e-5)
    values = torch.linalg.svdvals(moved[0].flatten(1)) / (UPDATE_RMS * 45**0.5)
    assert values.min() > 0.65 and values.max() < 1.25


@pytest.mark.parametrize("optimizer", STATE)
def test_adamw_updates_the_first_and_last_layer_and_all_biases(optimizer, rng):
    config = Config(method="repair", im_resize=64, crop_size=32, flc=4, optimizer=optimizer, device_target="CPU")
    table = METHOD.layers(config)
    engine = TorchEngine(config, table, (rng.random((2, 3, 64, 64)) * 255).astype(np.uint8), np.zeros((0, 3, 64, 64)))
    engine.step(epoch_patches(config, 2, 0).take(slice(0, 16)), 1e-3)
    keys = [key.split("/") for key in engine.state() if "/" in key]
    for layer in table:
        kinds = {kind: {key for name, key in keys if name == f"{layer.name}.{kind}"} for kind in ("weight", "bias")}
        inner = layer not in (table[0], table[-1])
        assert kinds == {"weight": STATE[optimizer if inner else "adamw"], "bias": STATE["adamw"]}
