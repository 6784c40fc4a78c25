import os
from pathlib import Path

import pytest

from ssim_ae.detector.overlay_names import SUFFIX, overlay_names
from ssim_ae.outputs import MAX_NAME_BYTES, name_key


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["in/part.png"], ["part"]),
        (["part.png", "part.jpg"], ["part.png", "part.jpg"]),
        (["cut/0.png", "hole/0.png", "1.png"], ["cut_0", "hole_0", "1"]),
        (["x/cut/0.png", "y/cut/0.png"], ["x_cut_0", "y_cut_0"]),
        (["/x/0.png", "/0.png"], ["x_0", None]),
        (["A.png", "a.png"], [None, None]),
        (["\u00e9.png", "e\u0301.png"], [None, None]),
        (["a_b/c.png", "a/b_c.png", "c.png"], [None, None, None]),
        (["line\nbreak.png", "50%#1.png", "\udcff.png"], ["line\nbreak", "50%#1", "\udcff"]),
    ],
)
def test_names_are_short_and_distinct_in_any_order(paths, names):
    found = overlay_names([Path(path) for path in paths])
    assert all(name is None or name + SUFFIX == other for name, other in zip(names, found, strict=True))
    assert len({name_key(name) for name in found}) == len(paths)
    assert overlay_names([Path(path) for path in reversed(paths)]) == found[::-1]


def test_many_names_of_one_stem_are_distinct():
    paths = [Path(f"{a}_{b}/{c}_x.PNG") for a in "ab" for b in "abA" for c in "aA"] + [Path("x.png"), Path("X.jpg")]
    assert len({name_key(name) for name in overlay_names(paths)}) == len(paths)


@pytest.mark.parametrize("letter", ["n", "ü", "欠", "\udcff"])
def test_a_long_name_is_cut_within_the_limit(letter):
    long = letter * (240 // len(os.fsencode(letter)))
    paths = [Path(f"{long}{end}.png") for end in "ab"] + [Path("d" * 200) / ("e" * 200) / f"{end}.png" for end in "ab"]
    found = overlay_names(paths)
    assert len(set(found)) == 4
    assert all(len(os.fsencode(name)) <= MAX_NAME_BYTES + len(SUFFIX) for name in found)
