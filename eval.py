"""Evaluate a detector with the command-line options of the reference implementation.

python eval.py --config_path=config/bottle_config.yaml [--checkpoint_path=FILE]
"""

import sys

from ssim_ae.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["evaluate", *sys.argv[1:]]))
