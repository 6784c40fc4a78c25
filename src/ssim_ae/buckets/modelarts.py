"""Transfers by moxing, the library of ModelArts.

moxing exists only on ModelArts, so the tests run this module with a substitute.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ssim_ae.buckets.state import locked_folder
from ssim_ae.buckets.store import error_reason
from ssim_ae.buckets.urls import STATE_FOLDER, base_name, short_hash
from ssim_ae.errors import InputError
from ssim_ae.storage import write_atomic

Result = TypeVar("Result")


def find_moxing() -> Any:
    """Return the module moxing, or None outside ModelArts."""
    try:
        import moxing
    except ModuleNotFoundError:
        return None
    return moxing


def fetch_by_moxing(moxing: Any, url: str, folder: Path) -> Path:
    """Download an object or all objects under a prefix into a folder; return the path of the file or folder."""
    is_folder = _call(url, moxing.file.is_directory, url)
    target = folder if is_folder else folder / base_name(url.rstrip("/"))
    marker = folder / STATE_FOLDER / short_hash(url)
    job = str(os.getppid())  # the processes of a distributed training have the same parent
    with locked_folder(folder, url):
        # moxing copies all files each time. The other processes of a training must not do that while the first reads.
        if "LOCAL_RANK" not in os.environ or not marker.exists() or marker.read_text() != job:
            _call(url, moxing.file.copy_parallel if is_folder else moxing.file.copy, url, str(target))
            write_atomic(marker, job)
    return target


def put_by_moxing(moxing: Any, path: Path, url: str) -> None:
    """Upload a file to a URL, or the files of a folder to a prefix."""
    _call(url, moxing.file.copy_parallel if path.is_dir() else moxing.file.copy, str(path), url)


def _call(url: str, function: Callable[..., Result], *arguments: str) -> Result:
    """Call a function of moxing. Raises InputError for any exception: moxing does not document its own."""
    try:
        return function(*arguments)
    except Exception as error:
        raise InputError(f"{url}: {error_reason(error)}") from error
