"""Train a detector with the command-line options of the reference implementation.

python train.py --config_path=config/bottle_config.yaml [--device_target=CPU]
"""

import sys

from ssim_ae.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["train", *sys.argv[1:]]))
