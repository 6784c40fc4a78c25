"""Python client of the server. It needs pydantic and the standard library, but no server package."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from ssim_ae.errors import InputError, first_line
from ssim_ae.server.schemas import DetectorInfo, Failure, InspectionResponse, PictureName, Problem

CONNECTION_TYPES = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
Result = TypeVar("Result")


class _Body(NamedTuple):
    """The body of a request, and its content type."""

    data: bytes
    content_type: str


class Client:
    """Sends images to the server at a URL and returns its results.

    `timeout` is the longest wait for the network, in seconds. All methods raise InputError with a message of one line.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        if url.partition("://")[0] not in CONNECTION_TYPES:
            raise InputError(f"{url}: should start with http:// or https://")

    def inspect(
        self,
        image: bytes | str | os.PathLike[str],
        *,
        detector: str | None = None,
        sensitivity: float = 1.0,
        pictures: Sequence[PictureName] = (),
    ) -> InspectionResponse:
        """Inspect one image, given as a path or as the bytes of a file."""
        if not isinstance(image, bytes | str | os.PathLike):
            raise InputError(f"image: should be a path or the bytes of a file, not {type(image).__name__}")
        form = _form("", image) if isinstance(image, bytes) else _form(*_read(Path(image)))
        query = _query(detector, sensitivity, pictures)
        return self._request(TypeAdapter(InspectionResponse), f"/v1/inspect?{query}", form)

    def inspect_many(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        detector: str | None = None,
        sensitivity: float = 1.0,
        pictures: Sequence[PictureName] = (),
    ) -> Iterator[InspectionResponse | Failure]:
        """Inspect files in order, and yield a `Failure` for each file that cannot be inspected."""
        for path in paths:
            try:
                yield self.inspect(path, detector=detector, sensitivity=sensitivity, pictures=pictures)
            except InputError as error:
                yield Failure(name=Path(path).name, error=str(error))

    def detectors(self) -> list[DetectorInfo]:
        """Return the descriptions of the server's detectors, the default first."""
        return self._request(TypeAdapter(list[DetectorInfo]), "/v1/detectors")

    def _request(self, adapter: TypeAdapter[Result], path: str, body: _Body | None = None) -> Result:
        try:
            status, content = self._send(path, body)
        except TimeoutError as error:
            raise InputError(f"{self.url}: no response within {self.timeout:g} s") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise InputError(f"{self.url}: {getattr(error, 'strerror', None) or error}") from error
        try:
            if status == http.HTTPStatus.OK:
                return adapter.validate_json(content)
            problem = Problem.model_validate_json(content)
        except ValidationError as error:
            raise InputError(f"{self.url}: status {status}, not an SSIM-AE response; check the URL") from error
        raise InputError(problem.detail)

    def _send(self, path: str, body: _Body | None) -> tuple[int, bytes]:
        """Send POST with a body, else GET; return status and content of the response."""
        parts = urlsplit(self.url)
        connection = CONNECTION_TYPES[parts.scheme](parts.netloc, timeout=self.timeout)
        try:
            if body:
                headers = {**self.headers, "Content-Type": body.content_type}
                connection.request("POST", parts.path + path, body.data, headers)
            else:
                connection.request("GET", parts.path + path, headers=self.headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _read(path: Path) -> tuple[str, bytes]:
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a zero byte or half a surrogate pair
        raise InputError(f"{str(path)!a}: not a valid path ({first_line(error)})") from error


def _query(detector: str | None, sensitivity: float, pictures: Sequence[PictureName]) -> str:
    chosen = [("detector", detector)] if detector else []
    return urlencode([*chosen, ("sensitivity", sensitivity), *(("pictures", picture) for picture in pictures)])


def _form(name: str, data: bytes) -> _Body:
    """Return a multipart form with the file `image`."""
    boundary = uuid4().hex
    quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    disposition = f'Content-Disposition: form-data; name="image"; filename="{quoted}"'
    head = f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n"
    parts = [head.encode(errors="surrogateescape"), data, f"\r\n--{boundary}--\r\n".encode()]
    return _Body(b"".join(parts), f"multipart/form-data; boundary={boundary}")
