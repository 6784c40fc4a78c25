"""Asks a server, over HTTP as the standard library speaks it."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from ssim_ae.errors import InputError
from ssim_ae.server.answers import MAX_BATCH, Answer, DetectorInfo, Failure, Picture

BATCH_BYTES = 16 * 2**20  # of images in one request, where there are several
CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
Result = TypeVar("Result")


class Client:
    """Asks the server at a URL. Whatever goes wrong is an InputError, one line."""

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        if urlsplit(url).scheme not in CONNECTIONS:
            raise InputError(f"{url}: should begin with http:// or https://")

    def inspect(
        self,
        image: bytes | str | os.PathLike[str],
        *,
        detector: str | None = None,
        sensitivity: float = 1.0,
        pictures: Sequence[Picture] = (),
    ) -> Answer:
        """Inspect one image, a file or its bytes."""
        named = ("", image) if isinstance(image, bytes) else _read(Path(image))
        path = f"/v1/inspect?{_query(detector, sensitivity, pictures)}"
        return self._asked(TypeAdapter(Answer), path, _form("image", [named]))

    def inspect_many(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        detector: str | None = None,
        sensitivity: float = 1.0,
        pictures: Sequence[Picture] = (),
    ) -> Iterator[Answer | Failure]:
        """Inspect files in their order, several in a request; one that is no image gives its error instead."""
        path = f"/v1/inspect/batch?{_query(detector, sensitivity, pictures)}"
        adapter: TypeAdapter[list[Answer | Failure]] = TypeAdapter(list[Answer | Failure])
        for batch in _batches(_read(Path(path)) for path in paths):
            yield from self._asked(adapter, path, _form("images", batch))

    def detectors(self) -> list[DetectorInfo]:
        """List the detectors, the default first."""
        return self._asked(TypeAdapter(list[DetectorInfo]), "/v1/detectors")

    def _asked(self, adapter: TypeAdapter[Result], path: str, form: tuple[bytes, str] | None = None) -> Result:
        try:
            status, answer = self._answered(path, form)
        except TimeoutError as error:
            raise InputError(f"{self.url}: no answer within {self.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise InputError(f"{self.url}: {getattr(error, 'strerror', None) or error}") from error
        try:
            if status != http.HTTPStatus.OK:
                raise InputError(json.loads(answer)["detail"])
            return adapter.validate_json(answer)
        except (ValidationError, json.JSONDecodeError, TypeError, KeyError) as error:
            raise InputError(f"{self.url}: status {status}, not what an SSIM-AE server answers") from error

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


def _batches(images: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    for name, data in images:
        size = sum(len(other) for _, other in batch) + len(data)
        if batch and (len(batch) == MAX_BATCH or size > BATCH_BYTES):
            yield batch
            batch = []
        batch.append((name, data))
    if batch:
        yield batch


def _query(detector: str | None, sensitivity: float, pictures: Sequence[Picture]) -> str:
    named = [("detector", detector)] if detector else []
    return urlencode([*named, ("sensitivity", sensitivity), *(("pictures", picture) for picture in pictures)])


def _form(field: str, images: Sequence[tuple[str, bytes]]) -> tuple[bytes, str]:
    """Return the body of a form with files, and its content type."""
    boundary = uuid4().hex
    parts = []
    for name, data in images:
        quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        disposition = f'Content-Disposition: form-data; name="{field}"; filename="{quoted}"'
        head = f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n"
        parts += [head.encode(errors="surrogateescape"), data, b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"
