import ctypes
import os
import sys
import threading
import time

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from ssim_ae.machine import (
    cores,
    keep_freed_memory,
    one_blas_thread,
    others_may_read,
    parallel_map,
    raise_open_file_limit,
)


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_results_are_in_the_order_of_the_items():
    def later_is_faster(item):
        time.sleep((20 - item) / 1000)
        return item * item

    assert list(parallel_map(later_is_faster, range(20))) == [item * item for item in range(20)]


def test_there_is_one_worker_per_core():
    workers = set(parallel_map(lambda _: time.sleep(0.01) or threading.get_ident(), range(8 * cores())))
    assert len(workers) == cores() and threading.get_ident() not in workers


def test_each_worker_is_initialized_once():
    initialized = []
    list(
        parallel_map(
            lambda _: time.sleep(0.005), range(20), initialize=lambda: initialized.append(threading.get_ident())
        )
    )
    assert len(initialized) == len(set(initialized)) == cores()


def test_only_a_few_items_are_computed_ahead():
    started = []
    results = parallel_map(started.append, range(1000))
    next(results)
    time.sleep(0.05)
    assert len(started) <= 2 * cores() + 1
    results.close()
    time.sleep(0.05)
    assert len(started) <= 2 * cores() + 1, "closing the iterator starts no more work"


def test_an_error_is_raised_in_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda item: 1 / item, [2, 1, 0, 1]))


@pytest.fixture
def two_blas_threads():
    with threadpool_limits(2, user_api="blas"):
        yield


@pytest.mark.usefixtures("two_blas_threads")
def test_blas_is_limited_to_one_thread_and_restored():
    with one_blas_thread():
        assert set(blas_threads()) == {1}
    assert set(blas_threads()) == {2}


@pytest.mark.usefixtures("two_blas_threads")
def test_limits_that_overlap_are_restored_by_the_last():
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(blas_threads()) == {1}
    second.__exit__(None, None, None)
    assert set(blas_threads()) == {2}


@pytest.mark.usefixtures("two_blas_threads")
def test_limits_in_many_threads_are_restored():
    def limit_often():
        for _ in range(300):
            with one_blas_thread():
                assert set(blas_threads()) == {1}

    list(parallel_map(lambda _: limit_often(), range(8), workers=4))
    assert set(blas_threads()) == {2}


def test_the_allocator_is_configured_once(monkeypatch):
    keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", None)
    list(parallel_map(abs, range(3)))


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_other_systems_tell_no_affinity(monkeypatch, system):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cores() == os.cpu_count()


def test_windows_has_no_limit_of_open_files(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert raise_open_file_limit(10**6) == 10**6


@pytest.mark.skipif(sys.platform == "win32", reason="the mode of a file says nothing there")
def test_who_may_read_a_file_is_in_its_mode_but_not_on_windows(monkeypatch, tmp_path):
    path = tmp_path / "tokens"
    for mode, answer in ((0o600, False), (0o640, True), (0o604, True)):
        path.touch()
        path.chmod(mode)
        assert others_may_read(path) == answer
    monkeypatch.setattr(sys, "platform", "win32")
    assert not others_may_read(path)
