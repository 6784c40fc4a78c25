"""Opens the database of a log: a SQLite file in a folder, or a PostgreSQL server; creates or migrates its tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, make_url, select, text, update
from sqlalchemy.exc import ArgumentError, DBAPIError

from ssim_ae.errors import InputError, first_line
from ssim_ae.line.schema import MIGRATIONS, VERSION, metadata, schema_version

DATABASE_NAME = "inspections.sqlite"
LOCK_TIMEOUT = 30  # seconds to wait for another process that writes
CONNECT_TIMEOUT = 5  # seconds
MIGRATION_LOCK = 0x5514AE  # the number of PostgreSQL's lock for a change of tables


class Database:
    """Transactions on a database. Raises InputError, one line, if it is not reachable or refuses a change."""

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name  # for messages, without a password
        self._engine = engine
        self._reader = engine.execution_options(begin="BEGIN")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction, which is committed at the end of the block."""
        with self._errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads."""
        with self._errors(), self._reader.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise InputError(f"{self.name}: {first_line(error.orig or error)}") from error


def open_database(place: str, *, create: bool = True) -> Database:
    """Open the database at a place: a folder, or a URL `postgresql://USER@HOST/DATABASE`.

    Its tables are created, unless `create` is false, or brought to the current version. Raises InputError if it cannot
    be opened, or was written by a newer version of this program.
    """
    url = _url_of(place, create=create)
    name = place if url.drivername == "sqlite" else url.render_as_string(hide_password=True)
    arguments: dict[str, Any] = {"timeout": LOCK_TIMEOUT}
    if url.drivername != "sqlite":
        arguments = {"connect_timeout": CONNECT_TIMEOUT}
    engine = create_engine(url, connect_args=arguments, pool_pre_ping=url.drivername != "sqlite")
    if url.drivername == "sqlite":
        _configure_sqlite(engine)
    database = Database(name, engine)
    try:
        with database.write() as connection:
            _prepare_tables(connection, name, create=create)
    except BaseException:
        database.close()
        raise
    return database


def _url_of(place: str, *, create: bool) -> URL:
    """Return the URL of the database at a place; with `create`, make its folder."""
    if "://" not in place:
        folder = Path(place)
        path = folder / DATABASE_NAME
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{place}: a file; name a folder for the log")
        if create:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"{place}: cannot be created: {error.strerror}") from error
        elif not path.exists():
            raise InputError(f"{place}: no log; name the folder or URL that --log named")
        return URL.create("sqlite", database=str(path))
    try:
        url = make_url(place)
    except (ArgumentError, ValueError) as error:
        raise InputError(
            "--log: not the URL of a database; name a folder, or postgresql://USER@HOST/DATABASE"
        ) from error
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise InputError(
            f"--log: {url.drivername}:// is not supported; name a folder, or postgresql://USER@HOST/DATABASE"
        )
    return url.set(drivername="postgresql+psycopg")


def _configure_sqlite(engine: Engine) -> None:
    """Let every commit survive a power failure, and a writer wait for the other writers before it reads."""

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin as stated below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN IMMEDIATE"))


def _prepare_tables(connection: Connection, name: str, *, create: bool) -> None:
    """Create the tables, or bring them to the current version. Concurrent starts wait for each other."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    if not inspect(connection).has_table(schema_version.name):
        if not create:
            raise InputError(f"{name}: no log; name the folder or URL that --log named")
        metadata.create_all(connection)
        connection.execute(insert(schema_version).values(version=VERSION))
        return
    version = connection.execute(select(schema_version.c.version)).scalar_one()
    if version > VERSION:
        raise InputError(f"{name}: written by a newer version of SSIM-AE; install that version")
    for former in range(version, VERSION):
        MIGRATIONS[former](connection)
    if version < VERSION:
        connection.execute(update(schema_version).values(version=VERSION))
