"""Prometheus metrics of the sources."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class SourceMetrics:
    """The metrics of all sources of a server, by the name of the source."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, description: str) -> Counter:
            return Counter(f"ssim_ae_source_{name}", description, ["source"], registry=registry)

        self.connected = Gauge(
            "ssim_ae_source_connected", "Whether the source is connected: 1 or 0", ["source"], registry=registry
        )
        self.pictures = counter("pictures", "Pictures that came from the source")
        self.dropped = counter("dropped", "Pictures to inspect that a newer one replaced while they waited")
        self.failed = counter("failed", "Pictures that could not be inspected or recorded")
        self.disconnections = counter("disconnections", "Times that the source went away")

    def add_source(self, name: str) -> None:
        """Show all metrics of a source, with 0, before anything happens."""
        for metric in (self.connected, self.pictures, self.dropped, self.failed, self.disconnections):
            metric.labels(name)
