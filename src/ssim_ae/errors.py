"""The one exception that is meant for the user's eyes."""


class InputError(ValueError):
    """Something the user gave cannot be used. `str(error)` is one line that says what is wrong and where."""


def first_line(error: BaseException) -> str:
    """Return the first line of another program's error, or what kind it is of."""
    return next(filter(None, str(error).splitlines()), type(error).__name__)
