"""The images in a request's body: raw bytes, or files of a form."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastapi import HTTPException
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from ssim_ae.images.formats import MEDIA_TYPES
from ssim_ae.server.schemas import MAX_BATCH

FORM = "multipart/form-data"
ACCEPTED_MEDIA_TYPES = (*MEDIA_TYPES, "application/octet-stream")
FILE = {"type": "string", "format": "binary"}
IMAGE = FILE | {"minLength": 1}


def _form(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    properties = {"type": "object", "properties": {field: schema}, "required": [field], "additionalProperties": False}
    return {"schema": properties}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


# What OpenAPI says of the bodies
RAW = {media_type: {"schema": IMAGE} for media_type in ACCEPTED_MEDIA_TYPES}
ENCODING = {"encoding": {"image": {"contentType": ", ".join(ACCEPTED_MEDIA_TYPES)}}}
IMAGE_BODY = _body({**RAW, FORM: _form("image", IMAGE) | ENCODING})
BATCH_BODY = _body({FORM: _form("images", {"type": "array", "items": FILE, "minItems": 1, "maxItems": MAX_BATCH})})


class Upload(NamedTuple):
    """An image file, and what the client calls it."""

    data: bytes
    name: str = ""


async def one_image(request: Request) -> Upload:
    """Return the image in the body, raw or the form's one file `image`. 400, 415 or 422 if there is none."""
    media_type = _media_type(request)
    if media_type == FORM:
        return (await _files(request, "image", 1))[0]
    if media_type not in ACCEPTED_MEDIA_TYPES:
        raise _unsupported(media_type, (*ACCEPTED_MEDIA_TYPES, FORM))
    return Upload(await request.body())


async def many_images(request: Request) -> list[Upload]:
    """Return the images of a form, files `images`. 400, 415 or 422 if there are none, or too many."""
    media_type = _media_type(request)
    if media_type != FORM:
        raise _unsupported(media_type, (FORM,))
    return await _files(request, "images", MAX_BATCH)


async def _files(request: Request, field: str, most: int) -> list[Upload]:
    parser = MultiPartParser(request.headers, request.stream(), max_files=most, max_fields=most)
    parser.spool_max_size = 0  # no image is written to a disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from error
    try:
        files = [file for name, file in form.multi_items() if name == field and isinstance(file, UploadFile)]
        if not files or len(files) < len(form.multi_items()):
            raise HTTPException(422, f"the form should have the file field {field!r} and no other")
        return [Upload(await file.read(), file.filename or "") for file in files]
    finally:
        await form.close()


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _unsupported(media_type: str, supported: Sequence[str]) -> HTTPException:
    return HTTPException(415, f"{media_type or 'no content type'} is not supported; send {', '.join(supported)}")
