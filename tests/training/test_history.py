"""The file and the plot of the history."""

from math import nan

import pytest
from PIL import Image

from ssim_ae.training.history import EpochRecord, draw_history, read_history, write_history

EPOCH = EpochRecord(1, 10, 0.3, 0.35, 1e-3, 100.0, 2.0)


@pytest.mark.parametrize(
    "history",
    [
        [EPOCH],
        [EPOCH._replace(held_out_loss=None)],
        [EPOCH._replace(loss=nan)],
        [EPOCH._replace(loss=nan, held_out_loss=None)],
        [EPOCH, EPOCH._replace(epoch=2, loss=0.01, held_out_loss=None)],
    ],
)
def test_a_history_of_any_length_is_drawn(tmp_path, history):
    draw_history(tmp_path / "loss.png", history)
    with Image.open(tmp_path / "loss.png") as image:
        assert image.size == (840, 480)


def test_a_history_is_read_as_it_was_written(tmp_path):
    history = [EPOCH, EPOCH._replace(epoch=2, steps=1_250_625, held_out_loss=None)]
    write_history(tmp_path, history)
    assert read_history(tmp_path) == history


def test_the_losses_of_a_single_epoch_are_written_in_the_legend(tmp_path):
    draw_history(tmp_path / "loss.svg", [EPOCH])
    text = (tmp_path / "loss.svg").read_text()
    assert "training: 0.3000" in text and "held-out good images: 0.3500" in text and "learning rate" not in text
