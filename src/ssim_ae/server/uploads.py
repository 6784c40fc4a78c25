"""Reads the images in the body of a request: raw bytes, or files of a form."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastapi import HTTPException
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from ssim_ae.images.formats import MEDIA_TYPES
from ssim_ae.server.schemas import MAX_BATCH

FORM_MEDIA_TYPE = "multipart/form-data"
ACCEPTED_MEDIA_TYPES = (*MEDIA_TYPES, "application/octet-stream")
FILE_SCHEMA = {"type": "string", "format": "binary"}
IMAGE_SCHEMA = FILE_SCHEMA | {"minLength": 1}
IMAGES_SCHEMA = {"type": "array", "items": FILE_SCHEMA, "minItems": 1, "maxItems": MAX_BATCH}


def _form_content(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    form = {"type": "object", "properties": {field: schema}, "required": [field], "additionalProperties": False}
    return {"schema": form}


def _request_body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


# OpenAPI descriptions of the request bodies
RAW_CONTENT = {media_type: {"schema": IMAGE_SCHEMA} for media_type in ACCEPTED_MEDIA_TYPES}
IMAGE_ENCODING = {"encoding": {"image": {"contentType": ", ".join(ACCEPTED_MEDIA_TYPES)}}}
IMAGE_BODY = _request_body({**RAW_CONTENT, FORM_MEDIA_TYPE: _form_content("image", IMAGE_SCHEMA) | IMAGE_ENCODING})
BATCH_BODY = _request_body({FORM_MEDIA_TYPE: _form_content("images", IMAGES_SCHEMA)})


class Upload(NamedTuple):
    """The bytes of an image file, and its name if the client sent one."""

    data: bytes
    name: str = ""


async def one_image(request: Request) -> Upload:
    """Return the image in the body: the raw body, or the only file `image` of a form.

    Raises HTTPException 400, 415 or 422 if there is no such image.
    """
    media_type = _media_type(request)
    if media_type == FORM_MEDIA_TYPE:
        return (await _form_files(request, "image", 1))[0]
    if media_type not in ACCEPTED_MEDIA_TYPES:
        raise _unsupported(media_type, (*ACCEPTED_MEDIA_TYPES, FORM_MEDIA_TYPE))
    return Upload(await request.body())


async def many_images(request: Request) -> list[Upload]:
    """Return the files `images` of a form.

    Raises HTTPException 400, 415 or 422 if there are none, or more than `MAX_BATCH`.
    """
    media_type = _media_type(request)
    if media_type != FORM_MEDIA_TYPE:
        raise _unsupported(media_type, (FORM_MEDIA_TYPE,))
    return await _form_files(request, "images", MAX_BATCH)


async def _form_files(request: Request, field: str, max_files: int) -> list[Upload]:
    parser = MultiPartParser(request.headers, request.stream(), max_files=max_files, max_fields=max_files)
    parser.spool_max_size = 0  # 0 keeps files of any size in memory: no image is written to disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from error
    try:
        files = [file for name, file in form.multi_items() if name == field and isinstance(file, UploadFile)]
        if not files or len(files) < len(form.multi_items()):
            raise HTTPException(422, f"form: should contain the file field {field!r} and no other field")
        return [Upload(await file.read(), file.filename or "") for file in files]
    finally:
        await form.close()


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _unsupported(media_type: str, supported: Sequence[str]) -> HTTPException:
    fault = f"{media_type} is not supported" if media_type else "missing"
    return HTTPException(415, f"content type: {fault}; send {', '.join(supported)}")
