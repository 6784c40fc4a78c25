"""Fixtures of the tests of sinks."""

import shutil
import subprocess
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


@pytest.fixture
def certificate(tmp_path):
    """The files of a certificate of this machine that nobody has signed, and of its key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate")
    files = [tmp_path / "certificate.pem", tmp_path / "key.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=a test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    return files


def wait_until(is_so, what="it", patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.005)
