"""Places that the command line names: paths on this machine, or URLs in an object store."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from ssim_ae.buckets import cache_folder, fetch, is_url, put
from ssim_ae.config import Config
from ssim_ae.console import note
from ssim_ae.errors import InputError


def local(place: str) -> str:
    """Return the path of what a place names, fetched first where it is a URL."""
    return str(fetch(place)) if is_url(place) else place


def local_config(config: Config) -> Config:
    """Return a config whose data set and detectors are on this machine; ModelArts' keys go before the others."""
    if config.model_arts and not config.data_url:
        raise InputError("model_arts: data_url should say where the data set lies")
    places = {
        "dataset_path": config.data_url or config.dataset_path,
        "checkpoint_path": config.checkpoint_url or config.checkpoint_path,
        "load_ckpt_path": config.load_ckpt_path,
    }
    return config.replace(**{key: local(place) for key, place in places.items()})


def results_folder(place: str) -> Path:
    """Return the folder on this machine in which new folders of results are made; `send_results` sends them on."""
    return cache_folder(place) if is_url(place) else Path(place)


def send_results(folder: Path, place: str) -> None:
    """Send a folder of results to where `place` says, if that is a URL: under a name that is new there."""
    if is_url(place):
        _send(folder, f"{place.rstrip('/')}/{folder.name}-{time.strftime('%Y%m%d-%H%M%S')}")


def send_back(folder: Path, place: str) -> None:
    """Send a folder that was fetched back to where it came from, if that is a URL."""
    if is_url(place):
        _send(folder, place)


@contextmanager
def written(place: str | None) -> Iterator[Path | None]:
    """Give the path to write a file or folder to; it and what is beside it are sent on, if `place` is a URL."""
    if not place or not is_url(place):
        yield Path(place) if place else None
        return
    parent, _, name = place.rstrip("/").rpartition("/")
    scratch = Path(mkdtemp())
    try:
        yield scratch / name
    except BaseException:
        if any(scratch.iterdir()):
            note(f"not sent to {place}: what was done is in {scratch}")
        else:
            scratch.rmdir()
        raise
    _send(scratch, parent)  # what cannot be sent is kept
    shutil.rmtree(scratch)


def _send(folder: Path, url: str) -> None:
    try:
        put(folder, url)
    except InputError as error:
        raise InputError(f"{error}; the results are in {folder}") from error
    note(f"sent to {url}")
