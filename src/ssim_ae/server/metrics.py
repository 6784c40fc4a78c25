"""Prometheus metrics of the server."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNKNOWN_PATH = "other"  # label of requests that match no route


class ServerMetrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "ssim_ae_requests", "HTTP requests by route and response status", ["path", "status"], registry=registry
        )
        self.inspections = Counter(
            "ssim_ae_inspections",
            "Inspected images by detector and verdict (ok, nok or error)",
            ["detector", "verdict"],
            registry=registry,
        )
        self.inspection_seconds = Histogram(
            "ssim_ae_inspection_seconds",
            "Time to decode and inspect an image and to draw its pictures, in seconds",
            ["detector"],
            registry=registry,
        )
        self.queue_slots_used = Gauge(
            "ssim_ae_queue_slots_used", "Queue slots in use, each by one request with images", registry=registry
        )
        self.refused = Counter(
            "ssim_ae_refused", "Requests with images that found no free queue slot (status 429)", registry=registry
        )

    def text(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)


class RequestCountMiddleware:
    """ASGI middleware that counts requests by route and response status."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it when its response starts."""

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = getattr(scope.get("route"), "path", UNKNOWN_PATH)
                self.metrics.requests.labels(path, message["status"]).inc()
            await send(message)

        await self.app(scope, receive, counting_send)
