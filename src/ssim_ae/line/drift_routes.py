"""The API of the drift of a log's inspections, and its metrics."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Annotated

from fastapi import HTTPException, Path, Request
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ssim_ae.errors import InputError
from ssim_ae.line.drift import DriftAlarm, DriftState, DriftWatch, NoSuchAlarm, alarms_of
from ssim_ae.line.reviews import MAX_ID
from ssim_ae.server.roles import Role, RoleRouters, person_of
from ssim_ae.server.routes import problem_responses


def add_drift_routes(api: RoleRouters, watches: Sequence[DriftWatch]) -> None:
    """Add the routes for the drift of the inspections of a server's stations."""

    @api[Role.REVIEW].get("/v1/drift", responses=problem_responses(400, 503))
    def list_drift() -> list[DriftState]:
        """Say for each detector whether its inspections at each station of this server still are as before."""
        return _states(watches)

    @api[Role.REVIEW].get("/v1/drift/alarms", responses=problem_responses(400, 503))
    def list_drift_alarms() -> list[DriftAlarm]:
        """List all alarms of each station of this server, in the order in which they were raised."""
        return [alarm for watch in watches for alarm in alarms_of(watch.log, watch.station)]

    @api[Role.ADMINISTER].post(
        "/v1/drift/alarms/{number}/end", responses=problem_responses(400, 404, 408, 413, 422, 503)
    )
    def end_drift_alarm(number: Annotated[int, Path(ge=1, le=MAX_ID)], request: Request) -> list[DriftState]:
        """Say that things are as they should be, repaired or to stay: later inspections are compared with new ones."""
        for watch in watches:
            with suppress(NoSuchAlarm):
                watch.end_alarm(number, person_of(request))
                return _states(watches)
        raise HTTPException(404, f"{number}: no such alarm at a station of this server, or ended before")


def _states(watches: Sequence[DriftWatch]) -> list[DriftState]:
    return [state for watch in watches for state in watch.states()]


class DriftCollector(Collector):
    """The drift of the inspections of a server's stations as Prometheus metrics."""

    def __init__(self, watches: Sequence[DriftWatch]) -> None:
        self._watches = watches

    def collect(self) -> Iterator[Metric]:
        """Yield the evidence of a change by detector, and the alarms that hold."""
        evidence = GaugeMetricFamily(
            "ssim_ae_drift_evidence",
            "Evidence that inspections have changed; an alarm at 1",
            labels=["station", "detector"],
        )
        alarms = GaugeMetricFamily(
            "ssim_ae_drift_alarm",
            "1 while a drift alarm with this cause holds",
            labels=["station", "detector", "cause"],
        )
        try:
            states = _states(self._watches)
        except InputError:  # the database is away: its metrics are missing, all others are there
            return
        shown: set[tuple[str, str]] = set()
        for state in states:
            key = (state.station, state.detector)
            if key not in shown:  # of several versions of a detector, the last one used
                shown.add(key)
                evidence.add_metric(key, state.evidence)
                if state.alarm:
                    alarms.add_metric([*key, state.alarm.cause], 1.0)
        yield evidence
        yield alarms
