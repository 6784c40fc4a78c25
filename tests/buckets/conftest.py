"""A real object store: OpenStack Swift, which implements S3 and verifies signatures and MD5s.

`pip install swift` installs it with its dependencies into pytest's cache folder, not into the environment. It runs on
127.0.0.1 (swift_server.py). A proxy between the tests and Swift counts the requests, and can cut or corrupt the data
(object_store.py). The tests are skipped if s3fs is not installed or Swift cannot be installed.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ssim_ae.buckets import store

if find_spec("s3fs"):
    import s3fs

    from .object_store import DOMAIN, REGION, Bucket, Proxy
else:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def swift(request, tmp_path_factory):
    """The port of a Swift server."""
    installed = Path(request.config.cache.mkdir("swift")) / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not installed.is_dir():
        new = tmp_path_factory.mktemp("swift") / "installed"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", new, "swift>=2.35"]
        if subprocess.run(pip, capture_output=True).returncode:
            pytest.skip("OpenStack Swift could not be installed (pip install swift)")
        shutil.move(new, installed)
    folder = tmp_path_factory.mktemp("swift")
    command = [sys.executable, Path(__file__).parent / "swift_server.py", folder, DOMAIN, REGION]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(installed)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as server:
        port = server.stdout.readline()
        try:
            if not port:
                pytest.skip("OpenStack Swift could not be started")
            yield int(port)
        finally:
            server.kill()


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch, tmp_path):
    """No account and no network of this machine, and short pauses before retries."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "OBS_")) or name == "LOCAL_RANK"]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "RETRY_PAUSES", (0.02, 0.05, 0.1))


@pytest.fixture
def proxy(swift, monkeypatch):
    """A proxy in front of Swift; the environment variables point to it."""
    proxy = Proxy(swift)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test:tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def files(swift):
    return s3fs.S3FileSystem(
        key="test:tester",
        secret="testing",
        endpoint_url=f"http://127.0.0.1:{swift}",
        client_kwargs={"region_name": REGION},
        use_listings_cache=False,
    )


@pytest.fixture
def bucket(files, proxy, tmp_path):
    return Bucket(files, re.sub("[^a-z0-9]+", "-", tmp_path.name.lower()).strip("-"))
