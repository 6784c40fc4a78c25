"""Asks a server, over HTTP as the standard library speaks it."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from ssim_ae.errors import InputError
from ssim_ae.server.schemas import DetectorInfo, Failure, InspectionResponse, Picture, Problem

CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
Result = TypeVar("Result")


class Client:
    """Asks the server at a URL. Whatever goes wrong is an InputError, one line."""

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        if url.partition("://")[0] not in CONNECTIONS:
            raise InputError(f"{url}: should begin with http:// or https://")

    def inspect(
        self,
        image: bytes | str | os.PathLike[str],
        *,
        detector: str | None = None,
        sensitivity: float = 1.0,
        pictures: Sequence[Picture] = (),
    ) -> InspectionResponse:
        """Inspect one image, a file or its bytes."""
        form = _form("", image) if isinstance(image, bytes) else _form(*_read(Path(image)))
        return self._asked(
            TypeAdapter(InspectionResponse), f"/v1/inspect?{_query(detector, sensitivity, pictures)}", form
        )

    def inspect_many(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        detector: str | None = None,
        sensitivity: float = 1.0,
        pictures: Sequence[Picture] = (),
    ) -> Iterator[InspectionResponse | Failure]:
        """Inspect files in their order; one that cannot be inspected gives its error instead."""
        for path in paths:
            try:
                yield self.inspect(path, detector=detector, sensitivity=sensitivity, pictures=pictures)
            except InputError as error:
                yield Failure(name=Path(path).name, error=str(error))

    def detectors(self) -> list[DetectorInfo]:
        """List the detectors, the default first."""
        return self._asked(TypeAdapter(list[DetectorInfo]), "/v1/detectors")

    def _asked(self, adapter: TypeAdapter[Result], path: str, form: tuple[bytes, str] | None = None) -> Result:
        try:
            status, answer = self._answered(path, form)
        except TimeoutError as error:
            raise InputError(f"{self.url}: no answer within {self.timeout:g} s") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise InputError(f"{self.url}: {getattr(error, 'strerror', None) or error}") from error
        try:
            if status == http.HTTPStatus.OK:
                return adapter.validate_json(answer)
            problem = Problem.model_validate_json(answer)
        except ValidationError as error:
            raise InputError(f"{self.url}: status {status}, not what an SSIM-AE server answers") from error
        raise InputError(problem.detail)

    def _answered(self, path: str, form: tuple[bytes, str] | None) -> tuple[int, bytes]:
        parts = urlsplit(self.url)
        connection = CONNECTIONS[parts.scheme](parts.netloc, timeout=self.timeout)
        try:
            if form:
                body, content_type = form
                connection.request("POST", parts.path + path, body, {**self.headers, "Content-Type": content_type})
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


def _query(detector: str | None, sensitivity: float, pictures: Sequence[Picture]) -> str:
    named = [("detector", detector)] if detector else []
    return urlencode([*named, ("sensitivity", sensitivity), *(("pictures", picture) for picture in pictures)])


def _form(name: str, data: bytes) -> tuple[bytes, str]:
    """Return the body of a form with a file `image`, and its content type."""
    boundary = uuid4().hex
    quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    disposition = f'Content-Disposition: form-data; name="image"; filename="{quoted}"'
    head = f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n"
    body = b"".join([head.encode(errors="surrogateescape"), data, f"\r\n--{boundary}--\r\n".encode()])
    return body, f"multipart/form-data; boundary={boundary}"
