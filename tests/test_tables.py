import pytest

from ssim_ae.tables import Row, print_table

HEADINGS = ["defect type", "images", *(f"metric number {number}" for number in range(9))]
ROWS = [Row(name, ["12", *(f"{value}.5" for value in range(92, 101))]) for name in ("hole", "a long defect type", "x")]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_wide_table_is_printed_in_parts_that_fit(capsys, width):
    print_table("the title", HEADINGS, ROWS, width=width)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].strip() == "the title"
    numbers = [line.split("hole")[1].split() for line in lines if "hole" in line]
    assert [number for part in numbers for number in part] == list(ROWS[0].cells), (
        "each number once, in order, unbroken"
    )
    assert len(numbers) == {40: 5, 60: 3, 80: 2, 120: 1}[width]


def test_a_pipe_gets_all_columns_in_one_part(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_table("", HEADINGS, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if "hole" in line] == [["hole", *ROWS[0].cells]]


@pytest.mark.parametrize("name", ["d" * 300, "欠陥" * 30, "\x1b[2J\n" * 20])
def test_a_long_name_is_broken_and_no_number_is(capsys, name):
    print_table(name, HEADINGS, [Row(name, ROWS[0].cells)], width=60)
    printed = capsys.readouterr().out
    assert all(cell in printed.split() for cell in ROWS[0].cells) and "\x1b[2J" not in printed


def test_a_cell_wider_than_the_terminal_is_not_lost(capsys):
    print_table("", ["a", "b"], [Row("x", ["9" * 50])], width=20)
    assert "9" * 50 in capsys.readouterr().out
