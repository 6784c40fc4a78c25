import csv
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from ssim_ae.batch.tables import as_parquet
from ssim_ae.cli import main
from ssim_ae.commands import log_options
from ssim_ae.errors import InputError
from ssim_ae.line import kept_images
from ssim_ae.line.entries import Filters
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.queries import all_entries, count_of, detector_names, hours_of, page_of
from ssim_ae.server.recorder import RecordError

from .conftest import BOTTLE, KEEP_ALL, NOON, record

HOSTILE_NAMES = [
    "'; DROP TABLE inspections; --",
    '"%s"',
    "a\0b.png",
    "caf\udce9.png",
    "<script>",
    "%00",
    "x" * 5000,
    "",
]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def any_log(request, tmp_path):
    """A log in each kind of database, empty."""
    place = str(tmp_path / "log")
    if request.param == "postgresql":
        place = request.getfixturevalue("postgres")
        drop_tables(place)
    with InspectionLog.open(place, station="line-1", rule=KEEP_ALL, images=tmp_path / "images") as log:
        yield log


def drop_tables(url):
    from ssim_ae.line.schema import metadata

    with InspectionLog.open(url) as log, log.database.write() as connection:
        metadata.drop_all(connection)


def names(log, **filters):
    return [entry.name for entry in all_entries(log, Filters(**filters))]


def test_a_row_holds_what_was_inspected(any_log):
    record(any_log, 3, score=1.5, data=b"\x89PNG 1")
    (entry,) = all_entries(any_log, Filters())
    assert (entry.time, entry.station, entry.source, entry.name) == (
        NOON + timedelta(minutes=3),
        "line-1",
        "http",
        "3.png",
    )
    assert (entry.detector, entry.fingerprint, entry.version) == BOTTLE
    assert (entry.verdict, entry.score, entry.threshold, entry.milliseconds, entry.error) == ("nok", 1.5, 1.0, 12.5, "")
    assert (entry.width, entry.height, entry.defects[0].x, entry.defects[0].score) == (90, 60, 1, 1.5)
    assert any_log.image_path(entry.id).read_bytes() == b"\x89PNG 1" and entry.image_file.endswith(".png")
    assert any_log.image_path(entry.id + 1) is None


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_data(any_log, name):
    record(any_log, name=name, error=name)
    (entry,) = all_entries(any_log, Filters())
    shown = name.replace("\0", "\ufffd").replace("\udce9", "?")
    assert (entry.name, entry.error) == (shown or "0.png", shown)
    assert names(any_log, detector=name) == names(any_log, station=name) == []


def test_filters(any_log):
    for number, score in enumerate((0.2, 0.9, 1.4)):
        record(any_log, number, score=score)
    record(any_log, 3, error="no image", detector=BOTTLE._replace(name="other"))
    assert names(any_log) == ["3.png", "2.png", "1.png", "0.png"]
    assert names(any_log, verdict="nok") == ["2.png"] and names(any_log, verdict="error") == ["3.png"]
    assert names(any_log, min_score=0.5) == ["2.png", "1.png"] and names(any_log, max_score=0.9) == ["1.png", "0.png"]
    assert names(any_log, detector="other") == ["3.png"] and names(any_log, station="line-2") == []
    minute = timedelta(minutes=1)
    assert names(any_log, since=NOON + minute, until=NOON + 3 * minute) == ["2.png", "1.png"]
    assert count_of(any_log, Filters(verdict="ok")) == 2 and detector_names(any_log) == ["bottle", "other"]


def test_pages_have_each_entry_once(any_log):
    for number in range(10):
        record(any_log, number, minutes=number // 4)  # some at the same moment
    found, cursor = [], None
    while True:
        page = page_of(any_log, Filters(), 3, cursor)
        found += [entry.name for entry in page.entries]
        cursor = page.next
        if not cursor:
            break
        record(any_log, 99, minutes=60)  # a later one does not move the pages
    assert found == [f"{number}.png" for number in range(9, -1, -1)]


def test_hours_of_a_day(any_log):
    for number in range(3):
        record(any_log, number * 30, score=0.5 + number)
    record(any_log, 61, error="no image")
    half_past = NOON - timedelta(minutes=30)
    hours = hours_of(any_log, Filters(since=half_past, until=NOON + timedelta(days=1)), half_past)
    assert [(hour.start, hour.ok, hour.nok, hour.error) for hour in hours] == [
        (half_past, 1, 0, 0),
        (half_past + timedelta(hours=1), 0, 2, 1),
    ]


def test_threads_and_processes_write_at_once(any_log, place):
    def write(log, first):
        for number in range(first, first + 20):
            record(log, number)

    threads = [threading.Thread(target=write, args=(any_log, 100 * number)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names(any_log))) == 80


RULES = {"all": "0123e", "near": "123", "nok": "23", "none": ""}


@pytest.mark.parametrize(("which", "kept"), RULES.items())
def test_images_are_kept_by_rule(place, which, kept):
    with InspectionLog.open(place, rule=KEEP_ALL._replace(which=which)) as log:
        for number, score in enumerate((0.7, 0.85, 1.1, 3)):
            record(log, number, score=score, data=b"image")
        record(log, name="e", error="broken", data=b"image")
        found = [entry for entry in all_entries(log, Filters()) if entry.image_file]
        assert {entry.name[0] for entry in found} == set(kept)
        assert all(log.image_path(entry.id).read_bytes() == b"image" for entry in found)
        assert len({*files_of(log)}) == len(kept)


def files_of(log):
    return [path for path in log.images.folder.rglob("*") if path.is_file()]


def kept_names(log):
    return [entry.name for entry in all_entries(log, Filters()) if entry.image_file]


def test_the_oldest_images_are_removed_beyond_the_size(place):
    with InspectionLog.open(place, rule=KEEP_ALL._replace(max_bytes=350)) as log:
        now = (datetime.now(UTC) - NOON) / timedelta(minutes=1)
        for number in range(6):
            record(log, number, data=bytes(100), minutes=now + number)
        assert kept_names(log) == ["5.png", "4.png", "3.png"] and len(files_of(log)) == 3
        assert len(names(log)) == 6, "rows stay"


def test_images_are_removed_after_some_days(place):
    with InspectionLog.open(place, rule=KEEP_ALL._replace(max_days=7)) as log:
        now = datetime.now(UTC) - NOON
        for number, age in enumerate((9, 8, 1)):
            record(log, number, data=b"image", minutes=(now - timedelta(days=age)) / timedelta(minutes=1))
        log.images._next_check = 0
        log.images.enforce_limits()
        assert kept_names(log) == ["2.png"] and len(files_of(log)) == 1


def test_files_without_a_row_are_removed_at_a_later_start(place, monkeypatch):
    with InspectionLog.open(place, rule=KEEP_ALL) as log:
        record(log, data=b"image")
        orphan = log.images.folder / log.images.write(b"orphan", NOON, "0" * 64)
    with InspectionLog.open(place, rule=KEEP_ALL) as log:
        assert orphan.exists(), "its row may be about to be written"
    monkeypatch.setattr(kept_images, "MIN_ORPHAN_AGE", -1)
    with InspectionLog.open(place, rule=KEEP_ALL) as log:
        assert not orphan.exists() and kept_names(log) == ["0.png"] and len(files_of(log)) == 1


def test_a_row_that_cannot_be_written_leaves_no_image(log, monkeypatch):
    def refuse(*_arguments):
        raise InputError("database or disk is full")

    monkeypatch.setattr(log, "_insert", refuse)
    with pytest.raises(RecordError, match=r"^log: cannot be written: database or disk is full$"):
        record(log, data=b"image")
    assert files_of(log) == [] and names(log) == []


def test_an_image_that_cannot_be_written_leaves_no_row(log):
    log.images.folder.write_text("a file in the place of the folder")
    with pytest.raises(RecordError, match="log: cannot be written: "):
        record(log, data=b"image")
    assert names(log) == []


def test_the_command_lists_and_exports(log, place, tmp_path, capsys):
    record(log, 0, score=1.2, name="=1+1.png")
    record(log, 1, error="1.png: not an image, or corrupt")
    assert main(["log", place]) == 0
    listed = capsys.readouterr().out
    assert "nok" in listed and "=1+1.png" in listed and "1.png: not an image, or corrupt" in listed
    assert main(["log", place, "--limit", "1"]) == 0
    assert "the latest 1 of 2 inspections" in capsys.readouterr().out
    for output in ("out.csv", "out.csv", "out.parquet", "out.parquet"):
        assert main(["log", place, "--output", str(tmp_path / output)]) == 0
        assert capsys.readouterr().out == f"2 inspections: {tmp_path / output}\n"
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["verdict"] for row in rows] == ["error", "nok"] and rows[1]["name"] == "'=1+1.png"
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["score"] for row in table] == [None, 1.2] and table[1]["time"] == NOON


@pytest.mark.parametrize(
    ("options", "listed"),
    [
        (["--errors"], "1"),
        (["--verdict", "nok"], "0"),
        (["--since", "2026-03-14T12:01:00+00:00"], "1"),
        (["--until", "2026-03-14T12:01:00+00:00"], "0"),
        (["--until", "2026-03-15"], "01"),
        (["--since", "2026-03-16"], ""),
        (["--station", "line-2"], ""),
        (["--detector", "bottle"], "01"),
    ],
)
def test_the_command_filters(log, place, capsys, options, listed):
    record(log, 0, score=1.2)
    record(log, 1, error="broken")
    assert main(["log", place, *options]) == 0
    shown = capsys.readouterr().out
    assert {number for number in "01" if f"{number}.png" in shown} == set(listed) and bool(listed) != (
        "no insp" in shown
    )


FAULTS = {
    "no log": (["none"], "none: no log; name the folder or URL that --log named"),
    "a file": (["file"], "file: a file; name a folder for the log"),
    "time": (["LOG", "--since", "monday"], "--since: monday: not a time; give it as 2026-01-31 or 2026-01-31T08:30"),
    "late": (
        ["LOG", "--until", "9999-12-31"],
        "--until: 9999-12-31: not a time; give it as 2026-01-31 or 2026-01-31T08:30",
    ),
    "contradiction": (["LOG", "--errors", "--verdict", "ok"], "--errors: contradicts --verdict ok; give one of them"),
    "limit": (["LOG", "--limit", "0"], "--limit: should be at least 1, not 0"),
    "both": (
        ["LOG", "--limit", "9", "--output", "x.csv"],
        "--limit: no effect with --output, which writes all; give one of them",
    ),
    "suffix": (["LOG", "--output", "x.txt"], "--output: x.txt: should end with .csv or .parquet"),
    "other": (
        ["LOG", "--output", "file.csv"],
        "file.csv: exists, and ssim-ae did not write it; choose another place for --output",
    ),
    "scheme": (
        ["mysql://host/db"],
        "--log: mysql:// is not supported; name a folder, or postgresql://USER@HOST/DATABASE",
    ),
    "url": (
        ["postgresql://host:port/db"],
        "--log: not the URL of a database; name a folder, or postgresql://USER@HOST/DATABASE",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line(log, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name in ("file", "file.csv"):
        Path(name).write_text("of others")
    assert main(["log", *[argument.replace("LOG", "log") for argument in arguments]]) == 2
    assert capsys.readouterr().err == f"ssim-ae: {message}\n"


def test_the_option_keep_offers_what_a_log_can_keep():
    assert sorted(log_options.KEPT) == sorted(get_args(kept_images.Kept))


def test_parquet_files_of_others_stay(log, place, tmp_path, capsys):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")
    (tmp_path / "job.parquet").write_bytes(as_parquet([]))
    (tmp_path / "text.parquet").write_text("PAR1")
    for path in sorted(tmp_path.glob("*.parquet")):
        before = path.read_bytes()
        assert main(["log", place, "--output", str(path)]) == 2
        advice = "exists, and ssim-ae did not write it; choose another place for --output"
        assert capsys.readouterr().err == f"ssim-ae: {path}: {advice}\n"
        assert path.read_bytes() == before
    (tmp_path / "empty.parquet").write_bytes(b"")
    assert main(["log", place, "--output", str(tmp_path / "empty.parquet")]) == 0


def test_a_server_that_does_not_answer(capsys):
    pytest.importorskip("psycopg")
    assert main(["log", "postgresql://user:secret@127.0.0.1:9/db"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ssim-ae: postgresql+psycopg://user:***@127.0.0.1:9/db: ") and error.count("\n") == 1
    assert "secret" not in error


def test_a_file_that_is_no_database(place, capsys):
    Path(place).mkdir()
    (Path(place) / "inspections.sqlite").write_bytes(b"no database" * 200)
    assert main(["log", place]) == 2
    assert capsys.readouterr().err == f"ssim-ae: {place}: file is not a database\n"
