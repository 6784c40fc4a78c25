import threading
import time

import pytest
from threadpoolctl import threadpool_info

from ssim_ae.machine import cores, in_parallel, one_blas_thread


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_results_come_in_the_order_of_the_items():
    def later_is_faster(item):
        time.sleep((20 - item) / 1000)
        return item * item

    assert list(in_parallel(later_is_faster, range(20))) == [item * item for item in range(20)]


def test_a_worker_a_core():
    workers = set(in_parallel(lambda _: time.sleep(0.01) or threading.get_ident(), range(8 * cores())))
    assert len(workers) == cores() and threading.get_ident() not in workers


def test_a_worker_begins_once():
    begun = []
    list(in_parallel(lambda _: time.sleep(0.005), range(20), begin=lambda: begun.append(threading.get_ident())))
    assert len(begun) == len(set(begun)) == cores()


def test_only_a_few_are_worked_out_ahead():
    started = []
    results = in_parallel(started.append, range(1000))
    next(results)
    time.sleep(0.05)
    assert len(started) <= 2 * cores() + 1
    results.close()
    time.sleep(0.05)
    assert len(started) <= 2 * cores() + 1, "what is not asked for is not begun"


def test_an_error_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(in_parallel(lambda item: 1 / item, [2, 1, 0, 1]))


def test_blas_keeps_to_one_thread_and_gets_its_threads_back():
    before = blas_threads()
    assert before
    with one_blas_thread():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before
