"""How the machine is used: its cores and its memory."""

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

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def in_parallel(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    begin: Callable[[], None] | None = None,
    workers: int | None = None,
) -> Iterator[Result]:
    """Yield `function(item)` in the order of the items, only a few of them ahead of the caller.

    There is a worker a core, or as many as asked for; each calls `begin` first.
    """
    workers = workers or cores()
    keep_freed_memory()
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    begun = once_a_thread(begin or (lambda: None))

    def work(item: Item) -> Result:
        begun()
        return function(item)

    try:
        with one_blas_thread():
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def once_a_thread(begin: Callable[[], None]) -> Callable[[], None]:
    """Return what calls `begin` in each thread that calls it, until it went well once."""
    local = threading.local()

    def begun() -> None:
        if not hasattr(local, "begun"):
            begin()
            local.begun = True

    return begun


def files_to_open(wanted: int) -> int:
    """Let this process have up to `wanted` files open; return how many it may have."""
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
    """Keep NumPy's products on the thread that asks: its threads and a framework's would wait for each other."""
    limited: AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="blas")
    return limited


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, for the next step: given back, every page of it would have to be cleared anew."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()
