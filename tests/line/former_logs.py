"""Makes a log of each version of the tables, as the program of that version did, with one inspection."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

VERSION_1 = """
CREATE TABLE schema_version (version INTEGER NOT NULL);
CREATE TABLE inspections (
    id INTEGER NOT NULL PRIMARY KEY, time BIGINT NOT NULL, station TEXT NOT NULL, source TEXT NOT NULL,
    name TEXT NOT NULL, detector TEXT NOT NULL, fingerprint TEXT NOT NULL, version INTEGER, image_hash TEXT NOT NULL,
    image_file TEXT, image_bytes BIGINT, width INTEGER, height INTEGER, verdict TEXT NOT NULL, score DOUBLE,
    threshold DOUBLE, defects TEXT NOT NULL, milliseconds DOUBLE, error TEXT NOT NULL
);
CREATE INDEX inspections_by_time ON inspections (time, id);
CREATE INDEX kept_images ON inspections (time, image_bytes) WHERE image_file IS NOT NULL;
CREATE TABLE watched_folders (id INTEGER NOT NULL PRIMARY KEY, station TEXT NOT NULL, folder TEXT NOT NULL);
CREATE UNIQUE INDEX watched_folders_by_name ON watched_folders (station, folder);
CREATE TABLE watched_files (
    folder_id INTEGER NOT NULL REFERENCES watched_folders (id), name TEXT NOT NULL, size BIGINT NOT NULL,
    modified BIGINT NOT NULL, inspection_id INTEGER REFERENCES inspections (id), PRIMARY KEY (folder_id, name)
);
INSERT INTO schema_version VALUES (1);
INSERT INTO inspections VALUES (
    1, 1773489600000, 'line-1', 'http', 'old.png', 'bottle', 'ffff', 1, '0000', NULL, NULL, 90, 60, 'nok', 1.5, 1.0,
    '[]', 12.5, ''
);
"""
VERSION_2 = f"""{VERSION_1}
UPDATE schema_version SET version = 2;
ALTER TABLE inspections ADD COLUMN review TEXT;
CREATE INDEX reviewed_inspections ON inspections (review) WHERE review IS NOT NULL;
CREATE TABLE reviews (
    id INTEGER NOT NULL PRIMARY KEY, inspection_id INTEGER NOT NULL REFERENCES inspections (id), time BIGINT NOT NULL,
    reviewer TEXT NOT NULL, verdict TEXT NOT NULL, box TEXT
);
CREATE INDEX reviews_by_inspection ON reviews (inspection_id);
"""
VERSION_3 = f"""{VERSION_2}
UPDATE schema_version SET version = 3;
CREATE TABLE outbox (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, kind TEXT NOT NULL, station TEXT NOT NULL,
    time BIGINT NOT NULL, data TEXT NOT NULL
);
CREATE INDEX outbox_by_station ON outbox (station, number);
CREATE TABLE sinks (
    station TEXT NOT NULL, name TEXT NOT NULL, position BIGINT NOT NULL, seen BIGINT NOT NULL,
    PRIMARY KEY (station, name)
);
"""
VERSION_4 = f"""{VERSION_3}
UPDATE schema_version SET version = 4;
CREATE TABLE version_changes (
    id INTEGER NOT NULL PRIMARY KEY, time BIGINT NOT NULL, station TEXT NOT NULL, detector TEXT NOT NULL,
    person TEXT NOT NULL, action TEXT NOT NULL, version INTEGER NOT NULL, fingerprint TEXT NOT NULL
);
CREATE INDEX version_changes_by_detector ON version_changes (detector, id);
"""
VERSION_5 = f"""{VERSION_4}
UPDATE schema_version SET version = 5;
ALTER TABLE inspections ADD COLUMN brightness DOUBLE PRECISION;
ALTER TABLE inspections ADD COLUMN contrast DOUBLE PRECISION;
ALTER TABLE inspections ADD COLUMN sharpness DOUBLE PRECISION;
ALTER TABLE inspections ADD COLUMN shift_x DOUBLE PRECISION;
ALTER TABLE inspections ADD COLUMN shift_y DOUBLE PRECISION;
ALTER TABLE inspections ADD COLUMN turn DOUBLE PRECISION;
CREATE TABLE usual_images (fingerprint TEXT NOT NULL PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE drift_alarms (
    id INTEGER NOT NULL PRIMARY KEY, inspection_id INTEGER NOT NULL REFERENCES inspections (id), time BIGINT NOT NULL,
    station TEXT NOT NULL, detector TEXT NOT NULL, fingerprint TEXT NOT NULL, cause TEXT NOT NULL,
    changes TEXT NOT NULL, ended BIGINT, ended_by TEXT
);
CREATE UNIQUE INDEX drift_alarms_by_inspection ON drift_alarms (station, fingerprint, inspection_id);
"""
FORMER: Mapping[int, str] = {1: VERSION_1, 2: VERSION_2, 3: VERSION_3, 4: VERSION_4, 5: VERSION_5}


def make_former(version: int, path: Path) -> None:
    """Make the SQLite file of a version."""
    connection = sqlite3.connect(path)
    connection.executescript(FORMER[version])
    connection.close()
