"""The states of sinks, in the API and as metrics."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ssim_ae.line.sinks.delivery import Deliveries, SinkState
from ssim_ae.server.roles import Role, RoleRouters


def add_sink_routes(api: RoleRouters, deliveries: Deliveries) -> None:
    """Add the route of the states."""

    @api[Role.REVIEW].get("/v1/sinks")
    async def list_sinks() -> list[SinkState]:
        """List the sinks, with the messages that wait for each and its last failure."""
        return deliveries.states


class SinkCollector(Collector):
    """The states as Prometheus metrics."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        waiting = GaugeMetricFamily("ssim_ae_sink_waiting", "Messages that a sink has not received", labels=["sink"])
        works = GaugeMetricFamily("ssim_ae_sink_up", "1 if a sink works, 0 if it fails", labels=["sink"])
        success = GaugeMetricFamily(
            "ssim_ae_sink_last_success_timestamp_seconds", "When a sink last received a message", labels=["sink"]
        )
        delivered = CounterMetricFamily("ssim_ae_sink_messages", "Messages that a sink has received", labels=["sink"])
        for state in self._deliveries.states:
            waiting.add_metric([state.name], state.waiting)
            works.add_metric([state.name], state.failing_since is None)
            delivered.add_metric([state.name], state.delivered)
            if state.last_success:
                success.add_metric([state.name], state.last_success.timestamp())
        yield from (waiting, works, success, delivered)
