"""Use of the machine: cores, threads, memory, open files and who may read files."""

import ctypes
import os
import platform
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from ssim_ae.errors import InputError

M_TRIM_THRESHOLD = -1  # parameter of mallopt, from glibc's malloc.h
M_MMAP_THRESHOLD = -3  # the same
OTHERS = stat.S_IRWXG | stat.S_IRWXO  # bits of a file's mode
Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def parallel_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    initialize: Callable[[], None] | None = None,
    workers: int | None = None,
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order, computed by a pool of threads.

    Only about two items per worker are computed ahead of the caller, to bound the memory. Each worker calls
    `initialize` before its first item. `workers` defaults to the number of cores.
    """
    workers = workers or cores()
    keep_freed_memory()
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    initialize_thread = once_per_thread(initialize or (lambda: None))

    def work(item: Item) -> Result:
        initialize_thread()
        return function(item)

    try:
        with one_blas_thread():
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def once_per_thread(function: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls `function` once in each thread. A call that raises is repeated at the next one."""
    local = threading.local()

    def call_once() -> None:
        if not hasattr(local, "called"):
            function()
            local.called = True

    return call_once


def global_lock() -> threading.Lock:
    """Return a lock for the life of the process. A fork waits for it, so that no child starts with it locked."""
    lock = threading.Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


def check_not_forked(library: str) -> None:
    """Raise InputError if this process was forked from one that had called this for the same library.

    Its native threads do not exist in the child: PyTorch would wait for them without end, OpenVINO crashes.
    """
    if _processes.setdefault(library, os.getpid()) != os.getpid():
        raise InputError(
            f"{library}: used before this process was forked, so it cannot be used here; start processes with the "
            "method spawn or forkserver"
        )


def raise_open_file_limit(wanted: int) -> int:
    """Raise this process's limit of open files to `wanted`, or as far as allowed; return the number it may open."""
    if sys.platform == "win32":
        return wanted
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    return granted


def others_may_read(path: Path) -> bool:
    """Return whether other users of this machine may read a file. False on Windows, where its mode does not say."""
    return sys.platform != "win32" and bool(path.stat().st_mode & OTHERS)


class OneBlasThread:
    """Limits NumPy's matrix products to one thread from the first block that begins to the last one that ends.

    The blocks may overlap in any order, in any threads. (Each limit of threadpoolctl restores what it found, so that
    overlapping ones can leave the limit in place.) OpenBLAS stores the number without touching its threads as long as
    the number does not exceed the first one, so that other threads may multiply meanwhile.
    """

    def __init__(self) -> None:
        self._lock = global_lock()
        self._open_blocks = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._open_blocks:
                self._limit = _thread_pools().limit(limits=1, user_api="blas")
            self._open_blocks += 1

    def __exit__(self, _type: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        with self._lock:
            self._open_blocks -= 1
            if not self._open_blocks:
                self._limit.restore_original_limits()


def one_blas_thread() -> AbstractContextManager[None]:
    """Limit NumPy's matrix products to one thread. BLAS threads and a framework's threads block each other."""
    return _ONE_BLAS_THREAD


@cache
def keep_freed_memory() -> None:
    """Configure glibc to keep freed memory for the next step. Memory that is returned has to be zeroed again.

    Only the first call in a process changes something.
    """
    if glibc := _glibc():
        glibc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        glibc.mallopt(M_MMAP_THRESHOLD, 2**30)


def return_freed_memory() -> None:
    """Return the memory that glibc keeps to the system, after something unusually large."""
    if glibc := _glibc():
        glibc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" and platform.libc_ver()[0] == "glibc" else None


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


_processes: dict[str, int] = {}  # that first used a library, by its name
_ONE_BLAS_THREAD = OneBlasThread()  # of this process, as NumPy's number of threads is
