"""Words that were nearly right."""

import difflib
from collections.abc import Iterable

SPELLINGS = {"p_ratate": "p_rotate", "decay": "weight_decay"}  # keys of the reference, still accepted


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known word most like `word`, or nothing."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
