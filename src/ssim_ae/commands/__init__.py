"""The verbs of the command line, a module each: its first line says what it does."""

NOK_FOUND, UNUSABLE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141  # exit statuses
