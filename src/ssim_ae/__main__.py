"""Run the command line as `python -m ssim_ae`."""

from ssim_ae.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
