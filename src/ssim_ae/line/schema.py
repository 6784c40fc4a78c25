"""The tables of the log, and the steps from each version of them to the next.

To change the tables: change them here, raise VERSION, and add a step to MIGRATIONS.
"""

from collections.abc import Callable, Mapping

from sqlalchemy import BigInteger, Column, Connection, Double, ForeignKey, Index, Integer, MetaData, Table, Text, text

from ssim_ae.detector.look import Look

VERSION = 5

metadata = MetaData()
NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself in an INTEGER alone

schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))

inspections = Table(
    "inspections",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("time", BigInteger, nullable=False),  # ms since the epoch
    Column("station", Text, nullable=False),
    Column("source", Text, nullable=False),  # how the image came: one of `inspection_log.Source`
    Column("name", Text, nullable=False),  # of the image's file
    Column("detector", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),  # of the detector
    Column("version", Integer),  # of the detector in its run
    Column("image_hash", Text, nullable=False),  # SHA-256 of the image's file; empty if it could not be read
    Column("image_file", Text),  # in the folder of images, while it is kept
    Column("image_bytes", BigInteger),
    Column("width", Integer),  # of the image, px
    Column("height", Integer),
    Column("verdict", Text, nullable=False),  # ok, nok or error
    Column("score", Double),
    Column("threshold", Double),
    Column("defects", Text, nullable=False),  # JSON: a list of boxes
    Column("milliseconds", Double),
    Column("error", Text, nullable=False),
    Column("review", Text),  # the verdict of the last review: good or defective
    *(Column(name, Double) for name in Look._fields),  # of the image, if the detector knows how good ones look
    Index("inspections_by_time", "time", "id"),
)
_IS_KEPT = inspections.c.image_file.is_not(None)
Index("kept_images", inspections.c.time, inspections.c.image_bytes, sqlite_where=_IS_KEPT, postgresql_where=_IS_KEPT)

_reviewed = Index(
    "reviewed_inspections",
    inspections.c.review,
    sqlite_where=inspections.c.review.is_not(None),
    postgresql_where=inspections.c.review.is_not(None),
)

reviews = Table(
    "reviews",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("inspection_id", NUMBER, ForeignKey("inspections.id"), nullable=False),
    Column("time", BigInteger, nullable=False),  # ms since the epoch
    Column("reviewer", Text, nullable=False),
    Column("verdict", Text, nullable=False),  # good, defective or withdrawn
    Column("box", Text),  # JSON: where the defect is
    Index("reviews_by_inspection", "inspection_id"),
)

usual_images = Table(  # what the drift of a detector's inspections is measured from
    "usual_images",
    metadata,
    Column("fingerprint", Text, primary_key=True),  # of the detector
    Column("content", Text, nullable=False),  # JSON of `UsualImages`
)

drift_alarms = Table(
    "drift_alarms",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("inspection_id", NUMBER, ForeignKey("inspections.id"), nullable=False),  # at which it was raised
    Column("time", BigInteger, nullable=False),  # ms since the epoch: of this inspection
    Column("station", Text, nullable=False),
    Column("detector", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("cause", Text, nullable=False),  # one of `drift.Cause`
    Column("changes", Text, nullable=False),  # JSON: what has changed by how much
    Column("ended", BigInteger),  # ms since the epoch: a person says that it is as it should be
    Column("ended_by", Text),
    Index("drift_alarms_by_inspection", "station", "fingerprint", "inspection_id", unique=True),
)

version_changes = Table(
    "version_changes",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("time", BigInteger, nullable=False),  # ms since the epoch
    Column("station", Text, nullable=False),
    Column("detector", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("action", Text, nullable=False),  # adopted or rolled back
    Column("version", Integer, nullable=False),  # that is the current one from then on
    Column("fingerprint", Text, nullable=False),
    Index("version_changes_by_detector", "detector", "id"),
)

watched_folders = Table(
    "watched_folders",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("station", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Index("watched_folders_by_name", "station", "folder", unique=True),
)

watched_files = Table(
    "watched_files",
    metadata,
    Column("folder_id", NUMBER, ForeignKey("watched_folders.id"), primary_key=True),
    Column("name", Text, primary_key=True),  # percent-encoded: a name may not be valid text
    Column("size", BigInteger, nullable=False),
    Column("modified", BigInteger, nullable=False),  # ns since the epoch
    Column("inspection_id", NUMBER, ForeignKey("inspections.id")),  # none: the file was there first
)

outbox = Table(
    "outbox",
    metadata,
    Column("number", NUMBER, primary_key=True),  # in the order of a station's messages, never used twice
    Column("id", Text, nullable=False),  # UUID of the message
    Column("kind", Text, nullable=False),  # one of `outbox.Kind`
    Column("station", Text, nullable=False),
    Column("time", BigInteger, nullable=False),  # ms since the epoch
    Column("data", Text, nullable=False),  # JSON: an object
    Index("outbox_by_station", "station", "number"),
    sqlite_autoincrement=True,
)

sinks = Table(
    "sinks",
    metadata,
    Column("station", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),  # the number of the last message that it has received
    Column("seen", BigInteger, nullable=False),  # ms since the epoch: when a server last had it
)


def _add_reviews(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE inspections ADD COLUMN review TEXT"))
    reviews.create(connection)
    _reviewed.create(connection)


def _add_outbox(connection: Connection) -> None:
    outbox.create(connection)
    sinks.create(connection)


def _add_version_changes(connection: Connection) -> None:
    version_changes.create(connection)


def _add_drift(connection: Connection) -> None:
    for name in Look._fields:
        connection.execute(text(f"ALTER TABLE inspections ADD COLUMN {name} DOUBLE PRECISION"))
    usual_images.create(connection)
    drift_alarms.create(connection)


# From each version to the next.
MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {
    1: _add_reviews,
    2: _add_outbox,
    3: _add_version_changes,
    4: _add_drift,
}
