"""Every version of the tables is brought to the current one, with its rows."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import inspect

from ssim_ae.cli import main
from ssim_ae.line import schema
from ssim_ae.line.entries import Filters
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.queries import all_entries

from .conftest import record
from .former_logs import FORMER, make_former


def structure(log):
    with log.database.read() as connection:
        found = inspect(connection)
        return {
            table: (
                {column["name"] for column in found.get_columns(table)},
                {i["name"] for i in found.get_indexes(table)},
            )
            for table in found.get_table_names()
        }


def test_each_former_version_can_be_made():
    assert list(FORMER) == list(range(1, schema.VERSION + 1)), "add the current version to former_logs.py"


@pytest.mark.parametrize("version", FORMER)
def test_a_log_of_a_former_version_is_continued(tmp_path, place, version):
    former = tmp_path / "former"
    former.mkdir()
    make_former(version, former / "inspections.sqlite")
    with InspectionLog.open(str(former)) as log, InspectionLog.open(place) as fresh:
        assert structure(log) == structure(fresh)
        (entry,) = all_entries(log, Filters())
        assert (entry.name, entry.verdict, entry.score) == ("old.png", "nok", 1.5)
        record(log)
        assert len(list(all_entries(log, Filters()))) == 2
    with InspectionLog.open(str(former)) as log:
        assert len(list(all_entries(log, Filters()))) == 2


def test_a_log_of_a_newer_version(log, place, capsys):
    log.database.close()
    with sqlite3.connect(Path(place) / "inspections.sqlite") as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    assert main(["log", place]) == 2
    message = f"ssim-ae: {place}: written by a newer version of SSIM-AE; install that version\n"
    assert capsys.readouterr().err == message


def test_a_migration_that_is_interrupted_changes_nothing(tmp_path, monkeypatch):
    def fail(connection):
        connection.exec_driver_sql("CREATE TABLE half (x INTEGER)")
        raise KeyboardInterrupt

    former = tmp_path / "former"
    former.mkdir()
    make_former(1, former / "inspections.sqlite")
    monkeypatch.setattr("ssim_ae.line.database.MIGRATIONS", {1: fail})
    with pytest.raises(KeyboardInterrupt):
        InspectionLog.open(str(former))
    monkeypatch.undo()
    with InspectionLog.open(str(former)) as log:
        assert "half" not in structure(log) and len(list(all_entries(log, Filters()))) == 1
