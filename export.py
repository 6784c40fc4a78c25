"""Export a detector with the command-line options of the reference implementation.

python export.py --config_path=config/bottle_config.yaml [RUN]
"""

import sys

from ssim_ae.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["export", *sys.argv[1:]]))
