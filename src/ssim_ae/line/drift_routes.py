"""The API of the drift of a log's inspections, and its metrics."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import HTTPException, Path, Request
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ssim_ae.errors import InputError
from ssim_ae.line.drift import DriftAlarm, DriftState, DriftWatch, NoSuchAlarm, alarms_of
from ssim_ae.line.reviews import MAX_ID
from ssim_ae.server.roles import Role, RoleRouters, person_of
from ssim_ae.server.routes import problem_responses


def add_drift_routes(api: RoleRouters, watch: DriftWatch) -> None:
    """Add the routes for the drift of a station's inspections."""

    @api[Role.REVIEW].get("/v1/drift", responses=problem_responses(400, 503))
    def list_drift() -> list[DriftState]:
        """Say for each detector whether its inspections at this station still are as before."""
        return watch.states()

    @api[Role.REVIEW].get("/v1/drift/alarms", responses=problem_responses(400, 503))
    def list_drift_alarms() -> list[DriftAlarm]:
        """List all alarms of this station, in the order in which they were raised."""
        return alarms_of(watch.log, watch.station)

    @api[Role.ADMINISTER].post(
        "/v1/drift/alarms/{number}/end", responses=problem_responses(400, 404, 408, 413, 422, 503)
    )
    def end_drift_alarm(number: Annotated[int, Path(ge=1, le=MAX_ID)], request: Request) -> list[DriftState]:
        """Say that things are as they should be, repaired or to stay: later inspections are compared with new ones."""
        try:
            watch.end_alarm(number, person_of(request))
        except NoSuchAlarm as error:
            raise HTTPException(404, str(error)) from error
        return watch.states()


class DriftCollector(Collector):
    """The drift of a station's inspections as Prometheus metrics."""

    def __init__(self, watch: DriftWatch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        """Yield the evidence of a change by detector, and the alarms that hold."""
        evidence = GaugeMetricFamily(
            "ssim_ae_drift_evidence", "Evidence that inspections have changed; an alarm at 1", labels=["detector"]
        )
        alarms = GaugeMetricFamily(
            "ssim_ae_drift_alarm", "1 while a drift alarm with this cause holds", labels=["detector", "cause"]
        )
        try:
            states = self._watch.states()
        except InputError:  # the database is away: its metrics are missing, all others are there
            return
        shown: set[str] = set()
        for state in states:
            if state.detector not in shown:  # of several versions of a detector, the last one used
                shown.add(state.detector)
                evidence.add_metric([state.detector], state.evidence)
                if state.alarm:
                    alarms.add_metric([state.detector, state.alarm.cause], 1.0)
        yield evidence
        yield alarms
