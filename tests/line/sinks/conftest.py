"""Fixtures of the tests of sinks."""

import time
from importlib.util import find_spec

import pytest

if not find_spec("sqlalchemy"):
    collect_ignore_glob = ["test_*.py"]
else:
    from ssim_ae.line.sinks import delivery

PATIENCE = 20  # seconds


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Do not wait in tests."""
    monkeypatch.setenv("SSIM_AE_WEBHOOK_SECRET", "secret")
    for name, seconds in (("POLL_INTERVAL", 0.02), ("STORE_INTERVAL", 0), ("MIN_RETRY", 0.01), ("MAX_RETRY", 0.05)):
        monkeypatch.setattr(delivery, name, seconds)


def wait_until(is_so, what="it"):
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.005)
