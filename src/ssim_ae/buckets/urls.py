"""URLs of objects, and the folders that their objects are downloaded to."""

import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple

from ssim_ae.errors import InputError

# Folder inside a downloaded folder: the lock, the records of its files, and temporary files
STATE_FOLDER = ".fetched"
ENDPOINT_VARIABLES = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "obs": ("OBS_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
}


class ObjectUrl(NamedTuple):
    """A URL of an object, or of all objects under a prefix."""

    scheme: str
    bucket: str
    key: str


def is_url(location: str) -> bool:
    """Return whether a location is in an object store."""
    return location.lower().startswith(("s3://", "obs://"))


def parse_url(url: str) -> ObjectUrl:
    """Split a URL. Nothing is unescaped: `#` and `%` are part of the key. Raises InputError for an invalid URL."""
    scheme, _, path = url.partition("://")
    bucket, _, key = path.partition("/")
    key = key.strip("/")
    if not is_url(url) or not re.fullmatch(r"\w[\w.-]*", bucket) or (key and not is_file_name(key)):
        raise InputError(f"{url}: not the URL of an object; use s3://bucket/key or obs://bucket/key")
    return ObjectUrl(scheme.lower(), bucket, key)


def cache_folder(url: str) -> Path:
    """Return the folder that `fetch` downloads a URL to by default. Each URL has a folder of its own."""
    scheme, bucket, key = parse_url(url)
    host = endpoint(scheme).partition("//")[2].strip("/").replace(":", "-") or scheme
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # A hash instead of the key: with the key, the folder of s3://b/x would contain the folder of s3://b/x/y.
    return root / "ssim-ae" / host / bucket / short_hash(key) / (base_name(key) or bucket)


def endpoint(scheme: str) -> str:
    """Return the URL of the object store from the environment, or an empty string if none is set."""
    values = (os.environ.get(name, "") for name in ENDPOINT_VARIABLES[scheme])
    value = next(filter(None, values), "")
    return f"https://{value}" if value and "://" not in value else value


def is_file_name(key: str) -> bool:
    """Return whether a key is a valid path of a file inside a folder."""
    parts = key.split("/")
    forbidden = "\0" if os.sep == "/" else '\0\\:*?"<>|'
    return not {"", ".", ".."} & set(parts) and parts[0] != STATE_FOLDER and not set(forbidden) & set(key)


def base_name(key: str) -> str:
    """Return the part of a key after its last slash."""
    return key.rpartition("/")[2]


def short_hash(text: str) -> str:
    """Return 12 hex digits of the SHA-256 of a text."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:12]
