"""List the inspections in a log, or write them to a table."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ssim_ae.commands.parser import Parser
from ssim_ae.errors import InputError

if TYPE_CHECKING:
    from ssim_ae.line.entries import LogEntry
    from ssim_ae.line.inspection_log import InspectionLog

LISTED = 50  # inspections
DATE_LENGTH = len("2026-01-31")


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument("place", metavar="PLACE", help="folder or URL of the log, as --log named it")
    parser.add_argument("--since", metavar="TIME", help="from this day or moment on: 2026-01-31, 2026-01-31T08:30")
    parser.add_argument("--until", metavar="TIME", help="up to the end of this day, or before this moment")
    parser.add_argument("--verdict", choices=("ok", "nok", "error"), help="inspections with this verdict")
    parser.add_argument("--errors", action="store_true", help="images that could not be inspected, with the reasons")
    parser.add_argument("--station", help="inspections of this station")
    parser.add_argument("--detector", help="inspections with the detector of this name")
    parser.add_argument("--limit", type=int, help=f"number of inspections in the list, the latest first ({LISTED})")
    parser.add_argument("--drift", action="store_true", help="whether inspections have changed, and since when")
    parser.add_argument("--output", metavar="FILE", help="write all to this file: .csv or .parquet")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.line.entries import Filters
    from ssim_ae.line.export import write_table
    from ssim_ae.line.inspection_log import InspectionLog
    from ssim_ae.line.queries import count_of, page_of
    from ssim_ae.spelling import counted

    if options.errors and options.verdict not in (None, "error"):
        raise InputError(f"--errors: contradicts --verdict {options.verdict}; give one of them")
    if options.output and options.limit is not None:
        raise InputError("--limit: no effect with --output, which writes all; give one of them")
    if options.drift:
        _check_drift_alone(options)
        with InspectionLog.open(options.place, create=False) as log:
            _print_drift(log, options.station)
        return 0
    limit = LISTED if options.limit is None else options.limit
    if limit < 1:
        raise InputError(f"--limit: should be at least 1, not {limit}")
    filters = Filters(
        since=_moment("--since", options.since),
        until=_moment("--until", options.until, end_of_day=True),
        verdict="error" if options.errors else options.verdict,
        station=options.station,
        detector=options.detector,
    )
    with InspectionLog.open(options.place, create=False) as log:
        if options.output:
            number = write_table(log, filters, Path(options.output))
            print(f"{counted(number, 'inspection')}: {options.output}")
        else:
            _print_entries(page_of(log, filters, limit).entries, count_of(log, filters))
    return 0


def _check_drift_alone(options: argparse.Namespace) -> None:
    names = ("since", "until", "verdict", "errors", "detector", "limit", "output")
    for name in names:
        if getattr(options, name) not in (None, False):
            raise InputError(f"--{name}: no effect with --drift; leave it out")


def _print_drift(log: InspectionLog, only_station: str | None) -> None:
    """Print a line for each detector at each station, and all alarms."""
    from ssim_ae.line.drift import DriftWatch, alarms_of, stations_of
    from ssim_ae.tables import Row, print_table

    stations = [only_station] if only_station is not None else stations_of(log)
    states = [state for station in stations for state in DriftWatch(log, station, store=False).states()]
    if not states:
        print("no inspections")
        return
    rows = [
        Row(
            _printable(state.station),
            [
                _printable(state.detector),
                state.fingerprint[:8],
                str(state.images),
                f"{state.evidence:.2f}",
                state.alarm.text if state.alarm else "",
            ],
        )
        for state in states
    ]
    print_table("", ["station", "detector", "fingerprint", "images", "evidence (alarm at 1)", "changed"], rows)
    for alarm in alarms_of(log, only_station):
        ended = ""
        if alarm.ended:
            ended = f"; ended {_local(alarm.ended)}{f' by {_printable(alarm.ended_by)}' if alarm.ended_by else ''}"
        names = f"{_printable(alarm.station)}, {_printable(alarm.detector)}"
        print(f"{_local(alarm.time)}  {names}: {alarm.text}, since about {_local(alarm.since)}{ended}")


def _moment(option: str, value: str | None, *, end_of_day: bool = False) -> datetime | None:
    """Return the moment that an option states, in the time zone of this machine unless it states another."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        if end_of_day and len(value) == DATE_LENGTH:
            moment += timedelta(days=1)
        return moment.astimezone()
    except (ValueError, OverflowError) as error:
        raise InputError(f"{option}: {value}: not a time; give it as 2026-01-31 or 2026-01-31T08:30") from error


def _print_entries(entries: list[LogEntry], total: int) -> None:
    from ssim_ae.spelling import counted
    from ssim_ae.tables import Row, print_table

    if not entries:
        print("no inspections")
        return
    headings = ["time", "verdict", "score", "ms", "station", "detector", "image"]
    print_table("", headings, [Row(_local(entry.time), _cells(entry)) for entry in entries])
    for entry in entries:
        if entry.error:
            print(f"{_local(entry.time)}  {_printable(entry.error)}")
    if len(entries) < total:
        print(f"the latest {len(entries)} of {counted(total, 'inspection')}; --limit lists more, --output writes all")


def _local(moment: datetime) -> str:
    return moment.astimezone().isoformat(" ", "milliseconds")[:23]


def _cells(entry: LogEntry) -> list[str]:
    score = "" if entry.score is None else f"{entry.score:.4f}"
    milliseconds = "" if entry.milliseconds is None else f"{entry.milliseconds:.1f}"
    texts = (entry.station, entry.detector, entry.name)
    return [entry.verdict, score, milliseconds, *map(_printable, texts)]


def _printable(text: str) -> str:
    from ssim_ae.console import escape_unprintable

    return escape_unprintable(text)
