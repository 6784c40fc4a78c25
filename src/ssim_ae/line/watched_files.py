"""What a log knows about the files of watched folders: which version of each was inspected."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote_from_bytes

from sqlalchemy import Connection, delete, insert, select

from ssim_ae.line.schema import watched_files, watched_folders
from ssim_ae.server.recorder import FileVersion, WatchedFile


def known_files(
    connection: Connection, station: str, folder: Path, found: Mapping[Path, FileVersion]
) -> dict[Path, FileVersion]:
    """Return the versions in which a station has inspected the files that are `found` in a folder.

    The first time, all of them count as inspected.
    """
    number = _folder_number(connection, station, folder)
    if number is None:
        new = insert(watched_folders).values(station=station, folder=_encoded(folder.resolve()))
        number = connection.execute(new.returning(watched_folders.c.id)).scalar_one()
        rows = [
            {"folder_id": number, "name": _name(folder, path), "size": version.size, "modified": version.modified}
            for path, version in found.items()
        ]
        if rows:
            connection.execute(insert(watched_files), rows)
        return dict(found)
    paths = {_name(folder, path): path for path in found}
    columns = (watched_files.c.name, watched_files.c.size, watched_files.c.modified)
    rows_of_folder = connection.execute(select(*columns).where(watched_files.c.folder_id == number))
    return {paths[row.name]: FileVersion(row.size, row.modified) for row in rows_of_folder if row.name in paths}


def remember_file(connection: Connection, station: str, file: WatchedFile, inspection: int) -> None:
    """Store that a version of a file was inspected."""
    number = _folder_number(connection, station, file.folder)
    name = _name(file.folder, file.path)
    row = watched_files.c
    connection.execute(delete(watched_files).where(row.folder_id == number, row.name == name))
    connection.execute(
        insert(watched_files).values(
            folder_id=number,
            name=name,
            size=file.version.size,
            modified=file.version.modified,
            inspection_id=inspection,
        )
    )


def _folder_number(connection: Connection, station: str, folder: Path) -> int | None:
    columns = watched_folders.c
    query = select(columns.id).where(columns.station == station, columns.folder == _encoded(folder.resolve()))
    return connection.execute(query).scalar_one_or_none()


def _name(folder: Path, path: Path) -> str:
    return _encoded(path.relative_to(folder))


def _encoded(path: Path) -> str:
    return quote_from_bytes(os.fsencode(path))
