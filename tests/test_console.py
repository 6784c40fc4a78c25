import io

import pytest

from ssim_ae import console
from ssim_ae.console import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_terminal_shows_a_bar_with_note_and_rate(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(console.sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    with progress("training", 100, done=20, unit="patches") as bar:
        bar.advance(30, "loss 0.5")
        bar.advance(50, "loss 0.4")
    shown = terminal.getvalue()
    assert "training" in shown and "loss 0.4" in shown and "patches/s" in shown and "100%" in shown


def test_log_shows_a_line_at_intervals(monkeypatch, capsys):
    now = iter(range(0, 1000, 5))
    monkeypatch.setattr(console.time, "monotonic", lambda: float(next(now)))
    with progress("training", 100, unit="patches") as bar:
        for _ in range(10):
            bar.advance(10, "loss 0.5")
    lines = capsys.readouterr().err.splitlines()
    assert 2 < len(lines) < 10
    assert (
        lines[0].startswith("training ") and "loss 0.5" in lines[0] and "patches/s" in lines[0] and "left" in lines[0]
    )


def test_seconds_that_round_to_a_minute_are_a_minute(monkeypatch, capsys):
    monkeypatch.setattr(console, "LOG_INTERVAL", 0)
    monkeypatch.setattr(console._Rate, "seconds_for", lambda *_: 119.7)
    with progress("training", 10) as bar:
        bar.advance()
    assert "2:00 left" in capsys.readouterr().err


@pytest.mark.parametrize("rank", ["1", "7"])
def test_only_the_main_process_prints(monkeypatch, capsys, rank):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(console, "LOG_INTERVAL", 0)
    with progress("training", 10) as bar:
        bar.advance(5)
    assert capsys.readouterr().err == ""
