"""The configuration: settings, their defaults for each method, and YAML files."""

from ssim_ae.config.config import Config as Config
