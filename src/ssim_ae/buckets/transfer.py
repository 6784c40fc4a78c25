"""Downloads and uploads of the files that changed."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from ssim_ae.buckets.modelarts import fetch_by_moxing, find_moxing, put_by_moxing
from ssim_ae.buckets.state import Record, locked_folder, read_record, write_record
from ssim_ae.buckets.store import CONCURRENT_TRANSFERS, ObjectStore, StoredObject
from ssim_ae.buckets.urls import STATE_FOLDER, base_name, cache_folder, is_file_name, parse_url, short_hash
from ssim_ae.console import progress
from ssim_ae.errors import InputError
from ssim_ae.machine import parallel_map
from ssim_ae.storage import PARTIAL_SUFFIX


def fetch(url: str, folder: Path | None = None) -> Path:
    """Download an object, or all objects under a prefix; return the path of the file or folder.

    `folder` defaults to `cache_folder(url)`. Only changed objects are transferred. Files of an earlier fetch whose
    objects no longer exist are deleted. The size of each file is verified, and its MD5 where the store provides it.
    Raises InputError if anything fails.
    """
    parsed = parse_url(url)
    folder = cache_folder(url) if folder is None else folder
    if moxing := find_moxing():
        return fetch_by_moxing(moxing, url, folder)
    store = ObjectStore(*parsed)
    objects = store.list_objects()
    path = folder
    if "" in objects:  # the URL is that of one object
        name = base_name(store.key)
        store, objects, path = store.parent(), {name: objects[""]}, folder / name
    if not objects:
        raise InputError(f"{url}: no such object, and no objects under this prefix")
    for name in objects:
        if not is_file_name(name):
            raise InputError(f"{url}: the key {name!r} is not a valid file name; nothing was downloaded")
    with locked_folder(folder, url):
        _Mirror(store, objects, folder, f"{short_hash('/'.join(parsed))}.json").update()
    return path


def put(path: Path, url: str) -> None:
    """Upload a file to a URL, or the files of a folder to a prefix.

    Only changed files are transferred, and nothing is deleted in the store. Each object is verified as in `fetch`.
    Raises InputError if anything fails.
    """
    parsed = parse_url(url)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if moxing := find_moxing():
        put_by_moxing(moxing, path, url)
        return
    store = ObjectStore(*parsed)
    files = _files_by_name(path) if path.is_dir() else {"": path}

    def is_stored(name: str) -> bool:
        stored = store.head(name)
        return stored is not None and stored.has_md5 and stored.matches(files[name])

    are_stored = parallel_map(is_stored, list(files), workers=CONCURRENT_TRANSFERS)
    names = [name for name, stored in zip(files, are_stored, strict=True) if not stored]
    if not names:
        return
    with progress("uploading", len(names), unit="files") as bar:
        for _ in parallel_map(lambda name: store.upload(files[name], name), names, workers=CONCURRENT_TRANSFERS):
            bar.advance()


class _Mirror:
    """A folder that mirrors the objects of a store.

    The record lists the files that came from the store. It identifies unchanged files without reading them, and
    prevents that files of other origin are deleted.
    """

    def __init__(self, store: ObjectStore, objects: dict[str, StoredObject], folder: Path, record_name: str) -> None:
        self.store = store
        self.objects = objects
        self.folder = folder
        self.state = folder / STATE_FOLDER
        self.record_path = self.state / record_name

    def update(self) -> None:
        """Delete the files whose objects no longer exist, and download the changed objects."""
        known = read_record(self.record_path)
        self._delete_removed(known)
        changed = self._changed(known)
        unchanged = self.objects.keys() - set(changed)
        incomplete: list[Any] = ["", 0]  # equals the entry of no file
        record = dict.fromkeys(changed, incomplete) | {name: self._entry(name) for name in unchanged}
        # Written before the download as well: if the process is killed, the next fetch has to know which files came
        # from the store, to delete those whose objects no longer exist.
        write_record(self.record_path, record)
        if not changed:
            return
        try:
            self._download(changed, record)
        finally:
            with suppress(InputError):  # without the record, the next fetch compares MD5s
                write_record(self.record_path, record)

    def _delete_removed(self, known: Record) -> None:
        for name in filter(is_file_name, known.keys() - self.objects.keys()):
            (self.folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # rmdir ends at the first parent folder that is not empty
                for parent in Path(name).parents[:-1]:
                    (self.folder / parent).rmdir()

    def _changed(self, known: Record) -> list[str]:
        """Return the names of the objects that differ from their files or have no files."""
        are_current = parallel_map(lambda name: self._is_current(name, known.get(name)), list(self.objects))
        return [name for name, current in zip(self.objects, are_current, strict=True) if not current]

    def _is_current(self, name: str, known: list[Any] | None) -> bool:
        path, stored = self.folder / name, self.objects[name]
        if not path.is_file() or path.stat().st_size != stored.size:
            return False
        return self._entry(name) == known or (stored.has_md5 and stored.matches(path))

    def _entry(self, name: str) -> list[Any]:
        return [self.objects[name].etag, (self.folder / name).stat().st_mtime_ns]

    def _download(self, names: list[str], record: Record) -> None:
        """Download objects; update their entries in `record`."""
        with progress("downloading", len(names), unit="files") as bar:
            done = parallel_map(self._download_one, names, workers=CONCURRENT_TRANSFERS)
            for name, _ in zip(names, done, strict=True):
                record[name] = self._entry(name)
                bar.advance()

    def _download_one(self, name: str) -> None:
        path = self.folder / name
        partial = self.state / f".{short_hash(name)}{PARTIAL_SUFFIX}"
        try:
            self.store.download(name, partial, self.objects[name])
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _files_by_name(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their relative paths, without its state folder and temporary files."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    excluded = re.compile(rf"{re.escape(STATE_FOLDER)}/|(.*/)?\.[^/]*{re.escape(PARTIAL_SUFFIX)}$")
    return {name: path for name, path in paths.items() if not excluded.match(name)}
