"""Where there is no GPU, stand-ins for CUDA graphs and streams: a replay repeats the recorded computation."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from ssim_ae import Config
from ssim_ae.errors import InputError
from ssim_ae.methods.repair import METHOD
from ssim_ae.training import captured_step
from ssim_ae.training.captured_step import EAGER_STEPS, CapturedStep
from ssim_ae.training.patch_sampling import epoch_patches
from ssim_ae.training.torch_engine import TorchEngine


class Stream:
    def wait_stream(self, other) -> None:
        assert isinstance(other, Stream)


class Graph:
    """Records what is called while it captures, and calls it again in a replay."""

    captures = 0

    def replay(self) -> None:
        self.recorded()


@pytest.fixture
def cuda(monkeypatch):
    """Replace what CapturedStep uses of torch.cuda; record the step that is called during a capture."""

    @contextmanager
    def capture(graph):
        Graph.captures += 1
        yield

    monkeypatch.setattr(Graph, "captures", 0)
    for name, value in {"Stream": Stream, "current_stream": Stream, "CUDAGraph": Graph, "graph": capture}.items():
        monkeypatch.setattr(captured_step.torch.cuda, name, value)
    monkeypatch.setattr(captured_step.torch.cuda, "stream", lambda stream: contextmanager(lambda: (yield))())


def test_a_captured_step_gets_each_batch_and_another_shape_is_not_captured(cuda, monkeypatch):
    calls = []
    weight = torch.zeros(())

    def step(inputs, targets):
        calls.append(len(inputs))
        return weight.add_(inputs.sum() - targets.sum())

    captured = CapturedStep(step)

    def record(inputs, targets):  # what a real capture does without taking the step
        captured.graph.recorded = lambda: captured.loss.copy_(step(captured.inputs, captured.targets))
        return torch.zeros(())

    losses = []
    for number in range(EAGER_STEPS + 3):
        if number == EAGER_STEPS:
            captured.step = record
        losses.append(float(captured(torch.full((2, 1, 1, 1), number + 1.0), torch.ones(2, 1, 1, 1))))
        captured.step = step
    assert losses == [0, 2, 6, 12, 20, 30] and Graph.captures == 1
    assert float(captured(torch.ones(3, 1, 1, 1), torch.zeros(3, 1, 1, 1))) == 33
    assert calls == [2] * (EAGER_STEPS + 3) + [3]


def test_too_little_memory_is_one_line(rng, monkeypatch):
    config = Config(method="repair", im_resize=64, crop_size=32, flc=4, device_target="CPU")
    images = (rng.random((2, 3, 64, 64)) * 255).astype(np.uint8)
    engine = TorchEngine(config, METHOD.layers(config), images, images[:0])

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    engine.update = full
    with pytest.raises(
        InputError, match=r"^training: the memory of the device is too small for a batch of 16 patches; "
    ):
        engine.step(epoch_patches(config, 2, 0).take(slice(0, 16)), 1e-3)
