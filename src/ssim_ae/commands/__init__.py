"""The verbs of the command line, a module each: its first line says what it does."""

NOK_FOUND, UNUSABLE, INTERRUPTED = 1, 2, 130  # exit statuses
