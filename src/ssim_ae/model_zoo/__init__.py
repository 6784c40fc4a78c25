"""Checkpoints of the MindSpore model zoo's SSIM-AE."""
