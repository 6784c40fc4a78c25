"""The exception that the command line prints without a traceback."""

MAX_REASON_LENGTH = 300  # characters; libraries quote whole files in their messages


class InputError(ValueError):
    """An input cannot be used. `str(error)` is one line: where, what is wrong and, if possible, what to do."""


class Conflict(InputError):  # noqa: N818
    """What is asked for does not fit what has happened meanwhile."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened, or the name of its type if the message is empty."""
    line = next(filter(None, str(error).splitlines()), type(error).__name__)
    return line if len(line) <= MAX_REASON_LENGTH else f"{line[:MAX_REASON_LENGTH]}..."
