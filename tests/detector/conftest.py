import pytest

from ssim_ae.checked_files import read_tensors, write_tensors


@pytest.fixture
def tampered(tiny_run, tmp_path, monkeypatch):
    """Write the detector file with a change and a valid checksum; the working folder is empty."""
    monkeypatch.chdir(tmp_path)

    def write(change):
        tensors, metadata = read_tensors(tiny_run.detector_path, "detector")
        change(tensors, metadata)
        path = tmp_path / "tampered.safetensors"
        write_tensors(path, tensors, metadata)
        return path

    return write
