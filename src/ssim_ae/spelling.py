"""Words in messages: suggestions for misspelled ones, counted nouns, numbers, durations, lists of names."""

import difflib
from collections.abc import Iterable, Sequence
from decimal import Decimal

KEY_ALIASES = {"p_ratate": "p_rotate", "decay": "weight_decay"}  # keys of the reference, still accepted


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known word closest to `word`, or an empty string if none is close."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, `1 image` or `2 images`. The noun is given in the singular."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(minutes: float) -> str:
    """Return a time, `4.3 minutes`, or in seconds below one minute."""
    return f"{minutes:.1f} minutes" if minutes >= 1 else counted(round(60 * minutes), "second")


def significant(value: float, digits: int) -> str:
    """Return a number rounded to so many significant digits, never with an exponent."""
    return f"{Decimal(f'{value:.{digits}g}'):f}"


def percentage(share: float) -> str:
    """Return a share in percent, with two significant digits; 100 if it is larger."""
    return significant(100 * min(share, 1.0), 2)


def listed(names: Sequence[str], maximum: int) -> str:
    """Return the first `maximum` names, `a, b, ...`."""
    return ", ".join([*names[:maximum], *(["..."] if len(names) > maximum else [])])
