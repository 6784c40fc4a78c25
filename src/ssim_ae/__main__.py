"""`python -m ssim_ae`, the same as `ssim-ae`."""

from ssim_ae.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
