"""The checks of bench/gpu.py on a GPU: pytest -m gpu."""

from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["losses", "inspection", "waiting", "resume", "errors", "processes"])
def test_checks_succeed_on_a_gpu(name, monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import gpu
    from gpu_result import Plan

    results = list(gpu.PARTS[name].run(Plan.full("")))
    assert results and all(result.met for result in results)
