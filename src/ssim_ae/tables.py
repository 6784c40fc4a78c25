"""Tables on standard output. On a terminal, a table that is too wide is printed in parts, one below the other."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

from ssim_ae.console import escape_unprintable

PADDING = 2  # columns between two cells
EDGE = 1  # column at the end of a line
MAX_NAME_SHARE = 0.4  # of the width, for the names of the rows; longer names are broken
PIPE_WIDTH = 10_000  # columns, where standard output is no terminal


class Row(NamedTuple):
    """A row of a table: its name and one cell for each further column. `style` is one of Rich."""

    name: str
    cells: Sequence[str]
    style: str = ""


def print_table(title: str, headings: Sequence[str], rows: Sequence[Row], *, width: int | None = None) -> None:
    """Print a table in at most `width` columns: those of the terminal, or without a terminal as many as needed.

    The first heading is that of the names. No number is ever broken.
    """
    from rich.console import Console

    width = width or (Console().width if sys.stdout.isatty() else PIPE_WIDTH)
    titles = [title, *[""] * len(headings)]
    for part_title, columns in zip(titles, _parts(headings, rows, width), strict=False):
        print(_part(part_title, headings, rows, columns, width), flush=True)


def _parts(headings: Sequence[str], rows: Sequence[Row], width: int) -> list[list[int]]:
    """Split the numbers of the columns after the first one into the fewest parts of similar size that fit."""
    widths = [_column_width(heading, [row.cells[i] for row in rows]) for i, heading in enumerate(headings[1:])]
    available = width - EDGE - PADDING - _name_width(headings, rows, width)
    for number in count(1):
        size = -(-len(widths) // number)
        parts = [list(range(start, min(start + size, len(widths)))) for start in range(0, len(widths), size)]
        if size <= 1 or all(sum(widths[i] + PADDING for i in part) <= available for part in parts):
            return parts
    raise AssertionError  # unreachable: parts of one column are accepted


def _part(title: str, headings: Sequence[str], rows: Sequence[Row], columns: Sequence[int], width: int) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, title=Text(escape_unprintable(title)) if title else None, title_justify="left")
    table.padding = (0, 0, 0, PADDING - 1)  # the box adds a column
    table.add_column(headings[0], width=_name_width(headings, rows, width), overflow="fold")
    for i in columns:
        needed = _column_width(headings[1 + i], [row.cells[i] for row in rows])
        table.add_column(headings[1 + i], justify="right", width=needed)
    for row in rows:
        table.add_row(Text(escape_unprintable(row.name)), *[row.cells[i] for i in columns], style=row.style or None)
    console = Console(width=PIPE_WIDTH)
    with console.capture() as captured:
        console.print(table)
    return re.sub(r"[ ]+$", "", captured.get(), flags=re.MULTILINE).strip("\n") + "\n"


def _name_width(headings: Sequence[str], rows: Sequence[Row], width: int) -> int:
    from rich.cells import cell_len

    longest = max(cell_len(escape_unprintable(name)) for name in (headings[0], *(row.name for row in rows)))
    return min(longest, max(int(MAX_NAME_SHARE * width), 1))


def _column_width(heading: str, cells: Sequence[str]) -> int:
    """Return the width of a column whose heading is broken between words, and whose cells are not broken."""
    return max(map(len, (*heading.split(), *cells)))
