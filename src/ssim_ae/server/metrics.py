"""What is counted, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OTHER = "other"  # the path of a request for what there is not


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter("ssim_ae_requests", "Requests answered", ["path", "status"], registry=registry)
        self.inspections = Counter(
            "ssim_ae_inspections", "Images inspected", ["detector", "verdict"], registry=registry
        )
        self.seconds = Histogram(
            "ssim_ae_inspection_seconds", "Decoding, inspecting, drawing", ["detector"], registry=registry
        )
        self.places_taken = Gauge("ssim_ae_places_taken", "Requests with an image in the house", registry=registry)
        self.refused = Counter(
            "ssim_ae_refused", "Requests with an image for which there was no room", registry=registry
        )

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self.registry)


class CountRequests:
    """Counts the requests by the path they were for and the status they got."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = getattr(scope.get("route"), "path", OTHER)
                self.metrics.requests.labels(path, message["status"]).inc()
            await send(message)

        await self.app(scope, receive, counting)
