"""The exception that the command line prints without a traceback."""


class InputError(ValueError):
    """An input cannot be used. `str(error)` is one line: where, what is wrong and, if possible, what to do."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type if the message is empty."""
    return next(filter(None, str(error).splitlines()), type(error).__name__)
