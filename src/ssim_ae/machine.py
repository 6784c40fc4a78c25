"""Use of the machine: cores, threads, memory and open files."""

import ctypes
import os
import platform
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

M_TRIM_THRESHOLD = -1  # parameter of mallopt, from glibc's malloc.h
M_MMAP_THRESHOLD = -3  # the same
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


def one_blas_thread() -> AbstractContextManager[object]:
    """Limit NumPy's matrix products to one thread. BLAS threads and a framework's threads block each other."""
    limited: AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="blas")
    return limited


def keep_freed_memory() -> None:
    """Configure glibc to keep freed memory for the next step. Memory that is returned has to be zeroed again."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()
