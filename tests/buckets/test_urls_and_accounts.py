"""URLs of objects, their cache folders, and the accounts of S3, OBS and ModelArts."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from ssim_ae.buckets import cache_folder, fetch, is_url, put
from ssim_ae.cli import main

from .object_store import DOMAIN, FILES, assert_input_error, content, write_files


def test_is_url():
    assert all(map(is_url, ("s3://b", "obs://b/x", "S3://b/x")))
    assert not any(map(is_url, ("", "s3", "s3:/b", "/s3://b", "data/s3", "http://b/x", "C:/x")))


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://a b/x", "s3://../x", "s3://b/../x", "s3://b/x//y", "/b/x"])
def test_invalid_url_is_an_error(url, tmp_path):
    for action in (lambda: fetch(url, tmp_path / "there"), lambda: cache_folder(url), lambda: put(tmp_path, url)):
        assert_input_error(
            action, f"^{re.escape(url)}: not the URL of an object; use s3://bucket/key or obs://bucket/key$"
        )


def test_each_url_has_its_own_cache_folder(monkeypatch, tmp_path):
    urls = ["s3://b", "s3://b/x", "s3://b/x/y", "s3://b/y", "s3://c/x", "obs://b/x"]
    folders = [cache_folder(url) for url in urls]
    for folder in folders:
        assert folder.is_relative_to(tmp_path / "cache" / "ssim-ae")
        assert not any(other.is_relative_to(folder) for other in folders if other is not folder)
    assert [folder.name for folder in folders] == ["b", "x", "y", "y", "x", "x"]
    assert cache_folder("s3://b/x/y/") == cache_folder("s3://b/x/y")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert cache_folder("s3://b/x") not in folders
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder("s3://b/x").is_relative_to(tmp_path / "home" / ".cache" / "ssim-ae")


def test_s3fs_is_imported_lazily():
    code = "import sys, ssim_ae.buckets; print({'s3fs', 'fsspec', 'botocore', 'aiohttp'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_obs_has_its_own_environment_variables(swift, bucket, proxy, tmp_path, monkeypatch):
    """The bucket is part of the host name, as OBS requires, and the region is that of the endpoint."""
    lookup = socket.getaddrinfo

    def local(host, *rest, **more):
        return lookup("127.0.0.1" if str(host).endswith(DOMAIN) else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OBS_ENDPOINT", f"http://{DOMAIN}:{proxy.port}")
    monkeypatch.setenv("OBS_ACCESS_KEY_ID", "test:tester")
    monkeypatch.setenv("OBS_SECRET_ACCESS_KEY", "testing")
    put(write_files(tmp_path / "here", FILES), f"obs://{bucket.name}/set")
    assert content(fetch(f"obs://{bucket.name}/set")) == FILES
    assert not any(bucket.name in request.partition("?")[0] for request in proxy.requests)
    assert "HEAD /" not in proxy.requests  # a request for the region
    assert cache_folder("obs://b/x").parts[-4:-2] == (f"{DOMAIN}-{proxy.port}", "b")
    monkeypatch.setenv("OBS_ENDPOINT", f"{DOMAIN}:{proxy.port}")  # https by default
    assert cache_folder("obs://b/x").parts[-4:-2] == (f"{DOMAIN}-{proxy.port}", "b")
    assert_input_error(lambda: fetch(f"obs://{bucket.name}/set"), "SSL")


def test_obs_falls_back_to_the_aws_environment_variables(bucket, tmp_path, monkeypatch):
    bucket["x.png"] = b"x"
    assert content(fetch(f"obs://{bucket.name}", tmp_path / "there")) == {"x.png": b"x"}
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert_input_error(lambda: fetch(f"obs://{bucket.name}"), f"^obs://{bucket.name}: no endpoint; set OBS_ENDPOINT")


@pytest.fixture
def moxing(monkeypatch, tmp_path) -> list[tuple[str, str, str]]:
    """A substitute for moxing that maps obs:// to a folder; the list of its calls."""
    calls = []

    def local(url: str) -> Path:
        return Path(url.replace("obs://", f"{tmp_path}/obs/"))

    def copy(source: str, target: str) -> None:
        calls.append(("copy", source, target))
        if not local(source).is_file():
            raise OSError(f"{source} is not a file\nand more")
        local(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(local(source), local(target))

    def copy_parallel(source: str, target: str) -> None:
        calls.append(("copy_parallel", source, target))
        shutil.copytree(local(source), local(target), dirs_exist_ok=True)

    module = ModuleType("moxing")
    module.file = SimpleNamespace(copy=copy, copy_parallel=copy_parallel, is_directory=lambda url: local(url).is_dir())
    monkeypatch.setitem(sys.modules, "moxing", module)
    return calls


def test_moxing_transfers_on_modelarts(moxing, tmp_path):
    put(write_files(tmp_path / "here", FILES), "obs://b/set")
    put(tmp_path / "here" / "a/b/c/d/e.txt", "obs://b/e.txt")
    assert content(fetch("obs://b/set", tmp_path / "there")) == FILES
    assert fetch("obs://b/e.txt", tmp_path / "there") == tmp_path / "there" / "e.txt"
    assert (tmp_path / "there" / "e.txt").read_bytes() == b"four"
    assert [name for name, _, _ in moxing] == ["copy_parallel", "copy", "copy_parallel", "copy"]
    assert_input_error(lambda: fetch("obs://b/none", tmp_path / "there"), "^obs://b/none: obs://b/none is not a file$")


def test_one_process_of_a_training_downloads_on_modelarts(moxing, tmp_path, monkeypatch):
    put(write_files(tmp_path / "here", FILES), "obs://b/set")
    for rank, copies in (("0", 2), ("1", 2), (None, 3), (None, 4)):
        if rank is None:
            monkeypatch.delenv("LOCAL_RANK", raising=False)
        else:
            monkeypatch.setenv("LOCAL_RANK", rank)
        assert content(fetch("obs://b/set")) == FILES
        assert len(moxing) == copies
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(os, "getppid", lambda: -1)  # another training
    fetch("obs://b/set")
    assert len(moxing) == 5


def test_modelarts_without_data_set_is_a_one_line_error(capsys):
    assert main(["train", "--model_arts", "True"]) == 2
    assert capsys.readouterr().err == "ssim-ae: model_arts: no data set; set data_url to its location\n"
