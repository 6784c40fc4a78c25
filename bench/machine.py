"""Hardware and versions that a benchmark ran on, without anything that identifies the machine or its owner."""

import datetime
import os
import platform
from importlib.metadata import version
from pathlib import Path

REPORTED_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_fp16")


def description() -> str:
    """Return hardware and versions as a Markdown list."""
    processor = _first_processor()
    flags = set(processor.get("flags", "").split())
    facts = {
        "CPU": processor.get("model name") or platform.processor() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "flags": " ".join(flag for flag in REPORTED_FLAGS if flag in flags) or "none of " + " ".join(REPORTED_FLAGS),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": _system(),
        "Python": platform.python_version(),
        "PyTorch": version("torch"),
        "NumPy": version("numpy"),
        "date": datetime.date.today().isoformat(),
    }
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def _first_processor() -> dict[str, str]:
    """Return the entries of the first core in /proc/cpuinfo; empty on systems without it."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return f"{platform.system()} {platform.release()}"
