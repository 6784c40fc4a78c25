"""Fixtures: logs in a folder, and in a PostgreSQL server that runs for the tests."""

import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

from ssim_ae.cli import main
from ssim_ae.detector.box import Box

from ..server.conftest import page_opener

if find_spec("sqlalchemy"):
    from ssim_ae.line.entries import Filters
    from ssim_ae.line.inspection_log import DetectorIdentity, InspectionLog, Result
    from ssim_ae.line.kept_images import KeepRule
    from ssim_ae.line.queries import all_entries
    from ssim_ae.line.reviews import Review, add_review

    BOTTLE = DetectorIdentity("bottle", "f" * 64, 1)
    KEEP_ALL = KeepRule("all", max_days=1e6)  # the tests are about a moment in the past
else:
    BOTTLE = KEEP_ALL = None
    collect_ignore_glob = ["test_*.py"]

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
POSTGRES_PROGRAMS = ("initdb", "pg_ctl")


def record(
    log, number=0, *, name="", score=0.5, data=b"", error="", detector=BOTTLE, watched=None, minutes=None, station=""
):
    """Write a row for the image `number`, which was inspected that many minutes after noon."""
    moment = NOON + timedelta(minutes=number if minutes is None else minutes)
    result = Result("nok" if score > 1 else "ok", score, 1.0, 90, 60, (Box(1, 2, 3, 4, score),), 12.5)
    if error:
        result = Result("error", error=error)
    log.record(moment, "http", name or f"{number}.png", data, detector, result, watched, station)


@pytest.fixture
def place(tmp_path) -> str:
    return str(tmp_path / "log")


@pytest.fixture
def log(place):
    with InspectionLog.open(place, station="line-1", rule=KEEP_ALL) as opened:
        yield opened


@pytest.fixture
def run(features_run, tmp_path) -> Path:
    return Path(shutil.copytree(features_run.folder, tmp_path / "cloth-1"))


@pytest.fixture
def reviewed_place(run, cloth_folder, tmp_path, capsys) -> str:
    """A log of the test images, of which two nok ones are reviewed as good, and the others as defective."""
    place = str(tmp_path / "reviewed")
    main(["predict", str(run), str(cloth_folder / "test"), "--log", place, "--keep", "all"])
    capsys.readouterr()
    with InspectionLog.open(place) as log:
        rejected = sorted(all_entries(log, Filters(verdict="nok")), key=lambda entry: entry.score)
        assert len(rejected) >= 4
        for index, entry in enumerate(rejected):
            add_review(log, Review(inspections=[entry.id], verdict="good" if index < 2 else "defective"))
    return place


@pytest.fixture
def open_page(browser):
    with page_opener(browser, "/history", timezone_id="UTC") as open_:
        yield open_


def postgres_program(name: str) -> str | None:
    found = [*Path("/usr/lib/postgresql").glob(f"*/bin/{name}")]
    return shutil.which(name) or (str(found[-1]) if found else None)


class PostgresServer:
    """A PostgreSQL server on a socket of this machine, which can be stopped and started again."""

    def __init__(self, folder: Path, initdb: str, control: str, as_user: list[str]) -> None:
        self.url = f"postgresql://line@/postgres?host={folder}"
        self._folder = folder
        self._control = [*as_user, control, "-D", folder / "data"]
        self._run([*as_user, initdb, "-D", folder / "data", "-U", "line", "-A", "trust", "-E", "UTF8"])

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self._folder}"
        self._run([*self._control, "-l", self._folder / "log", "-w", "-o", options, "start"])

    def stop(self) -> None:
        """Stop it as a power failure does."""
        self._run([*self._control, "-m", "immediate", "stop"])

    def _run(self, command: list[object]) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder)


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server that runs."""
    pytest.importorskip("psycopg")
    initdb, control = map(postgres_program, POSTGRES_PROGRAMS)
    if not initdb or not control:
        pytest.skip("no PostgreSQL server: install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # the path of a socket is short
    as_user = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        if not shutil.which("setpriv"):
            pytest.skip("PostgreSQL refuses to run as root, and there is no setpriv")
        os.chown(folder, 65534, 65534)
        as_user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    server = PostgresServer(folder, initdb, control, as_user)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(postgres_server):
    """The URL of a database of this server."""
    return postgres_server.url
