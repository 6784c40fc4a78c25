"""The documentation: it builds without a dead link, its commands parse, and those of the tutorials run."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssim_ae.cli import COMMANDS
from ssim_ae.commands.parser import Parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXECUTED = (
    "tutorial/first-detector.md",
    "tutorial/own-images.md",
    "how-to/choose-a-threshold.md",
    "how-to/small-defects.md",
)
BLOCK = re.compile(r"(<!-- not run -->\n)?^```(shell|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> Iterator[tuple[str, bool]]:
    """Yield the blocks of a language, and whether each can be run."""
    for not_run, kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == language:
            yield text, not not_run


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of each call of ssim-ae in the shell blocks of a page."""
    for text, _ in blocks(page, "shell"):
        for line in text.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|", line):
                words = shlex.split(part, comments=True)
                if "ssim-ae" in words:
                    yield words[words.index("ssim-ae") + 1 :]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_of_a_page_has_the_arguments_that_it_is_given(page):
    for name, *arguments in commands(page):
        if name.startswith("-") or name == "COMMAND":
            continue
        parser = Parser(prog=f"ssim-ae {name}", allow_abbrev=False)
        COMMANDS[name].arguments(parser)
        parser.parse_args(parser.normalize_option_names(arguments))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_code_of_a_page_compiles(page):
    for text, _ in blocks(page, "python"):
        compile(text, page.name, "exec")


SITE_PAGES = [page for page in PAGES if page != PAGES[0] and "bench" not in page.parts]  # bench: printed by commands


@pytest.mark.parametrize("page", SITE_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_says_first_what_it_is_for_and_leads_to_others(page):
    title, first, *_ = (line for line in page.read_text(encoding="utf-8").splitlines() if line)
    assert title.startswith("# ") and first[0] not in "#|`<!"
    assert re.search(r"\]\((?!https?:|#)[^)]+\.md", page.read_text(encoding="utf-8"))


def test_the_cpp_code_of_a_page_is_that_of_the_examples():
    page = (ROOT / "docs" / "how-to" / "export.md").read_text(encoding="utf-8")
    examples = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "examples" / "cpp").glob("*.cpp"))
    blocks = re.findall(r"^```cpp\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    assert not [line for block in blocks for line in block.splitlines() if line not in examples]


def test_the_site_builds_and_no_link_is_dead(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    settings = (tmp_path / "site" / "reference" / "settings" / "index.html").read_text(encoding="utf-8")
    assert "false_alarm_rate" in settings
    served = (tmp_path / "site" / "reference" / "http" / "index.html").read_text(encoding="utf-8")
    programs = (tmp_path / "site" / "reference" / "examples" / "index.html").read_text(encoding="utf-8")
    assert "GetTensorData" in programs and "DenseTensor" in programs
    assert all(path in served for path in ("/v1/inspect", "/v1/log", "/v1/sinks", "/v1/sources"))


@pytest.mark.long
@pytest.mark.parametrize("page", EXECUTED)
def test_the_commands_of_a_page_run(page, tmp_path):
    path = ROOT / "docs" / page
    scripts = tmp_path / "bin"
    scripts.mkdir()
    (scripts / "ssim-ae").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ssim_ae "$@"\n')
    (scripts / "ssim-ae").chmod(0o755)
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    for language, run in (("shell", ["bash", "-euo", "pipefail", "-c"]), ("python", [sys.executable, "-c"])):
        for text, is_run in blocks(path, language):
            if is_run:
                done = subprocess.run([*run, text], cwd=tmp_path, capture_output=True, text=True, env=environment)
                assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.long
def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(ROOT / "docs" / "tutorial" / "notebook.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    shown = [set(output.data) for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("text/html" in kinds for kinds in shown) == 2 and sum("image/png" in kinds for kinds in shown) == 1
