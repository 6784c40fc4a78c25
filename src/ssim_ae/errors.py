"""The one exception that is meant for the user's eyes."""


class InputError(ValueError):
    """Something the user gave cannot be used. `str(error)` is one line that says what is wrong and where."""
