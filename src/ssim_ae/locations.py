"""Locations: paths on this machine or URLs in an object store, as the command line and the config name them."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from ssim_ae.buckets import cache_folder, fetch, is_url, put
from ssim_ae.config import Config
from ssim_ae.console import print_note
from ssim_ae.errors import InputError
from ssim_ae.images.folders import Dataset, find_dataset


def local_path(location: str) -> str:
    """Return the path of a location on this machine. A URL is downloaded first."""
    return str(fetch(location)) if is_url(location) else location


def absolute_location(location: str) -> str:
    """Return a location that holds in every working folder: an absolute path, or the URL."""
    return location if is_url(location) else str(Path(location).absolute())


def local_config(config: Config) -> Config:
    """Return a config whose data set and detectors are on this machine.

    The keys of ModelArts (`data_url`, `checkpoint_url`) take precedence over the others.
    """
    if config.model_arts and not config.data_url:
        raise InputError("model_arts: no data set; set data_url to its location")
    locations = {
        "dataset_path": config.data_url or config.dataset_path,
        "checkpoint_path": config.checkpoint_url or config.checkpoint_path,
        "load_ckpt_path": config.load_ckpt_path,
    }
    paths: dict[str, str | list[str]] = {key: local_path(location) for key, location in locations.items()}
    paths["more_paths"] = [local_path(location) for location in config.more_paths]
    return config.replace(**{key: path for key, path in paths.items() if path != getattr(config, key)})


def dataset_of(config: Config, root: str | Path = "") -> Dataset:
    """Return the data set in `root`, by default that of the settings, with the images of `more_paths` if it is that."""
    own = not root or Path(root).resolve() == Path(config.dataset_path).resolve()
    return find_dataset(
        root or config.dataset_path,
        more=config.more_paths if own else (),
        img_suffix=config.img_suffix,
        mask_suffix=config.mask_suffix,
    )


def shown_path(path: Path) -> str:
    """Return a path for a file that is passed on: relative to the working folder, or its last two names."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(Path(*path.absolute().parts[-2:]))


def results_folder(location: str) -> Path:
    """Return the folder on this machine that results for `location` are written to, before `upload_results`."""
    return cache_folder(location) if is_url(location) else Path(location)


def upload_results(folder: Path, location: str) -> None:
    """Upload a folder of results under `location` if that is a URL. The time in its name there makes it unique."""
    if is_url(location):
        _upload(folder, f"{location.rstrip('/')}/{folder.name}-{time.strftime('%Y%m%d-%H%M%S')}")


def upload_to_origin(folder: Path, location: str) -> None:
    """Upload a folder to the location that it was downloaded from, if that is a URL."""
    if is_url(location):
        _upload(folder, location)


@contextmanager
def local_output(location: str | None) -> Iterator[Path | None]:
    """Yield the path on this machine to write an output file or folder to; None without a location.

    If `location` is a URL, all files that the block writes to the parent of the path are uploaded at the end of the
    block. Files that cannot be uploaded are kept.
    """
    if not location or not is_url(location):
        yield Path(location) if location else None
        return
    parent, _, name = location.rstrip("/").rpartition("/")
    scratch = Path(mkdtemp())
    try:
        yield scratch / name
    except BaseException:
        if any(scratch.iterdir()):
            print_note(f"{location}: not uploaded; the output is in {scratch}")
        else:
            scratch.rmdir()
        raise
    _upload(scratch, parent)
    shutil.rmtree(scratch)


def _upload(folder: Path, url: str) -> None:
    try:
        put(folder, url)
    except InputError as error:
        raise InputError(f"{error}; the results are in {folder}") from error
    print_note(f"uploaded to {url}")
