"""Checkpoints of the reference implementation, the SSIM-AE of the MindSpore model zoo."""
