"""The commands of `ssim-ae`, one module each. The docstring of a module is the help text of its command."""

# Exit statuses besides 0.
NOK_FOUND = 1  # `predict --fail-on-nok`: an image is defective
REQUIREMENT_NOT_MET = 1  # `--require`: the detector finds fewer of the drawn defects
INPUT_ERROR = 2  # a wrong option, or an image or a file that cannot be read
INTERRUPTED = 130  # by Ctrl-C or SIGTERM; as shells report SIGINT
BROKEN_PIPE = 141  # as shells report SIGPIPE
