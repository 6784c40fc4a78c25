"""Inspect images that come over HTTP, or into a folder."""

from __future__ import annotations

import argparse
import os
from math import inf
from pathlib import Path

from ssim_ae.commands.parser import Parser
from ssim_ae.errors import InputError


def arguments(parser: Parser) -> None:
    """Say what can be given."""
    parser.add_argument("detectors", nargs="+", metavar="DETECTOR", help="detector files or runs' folders; NAME=PATH")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at, 0 for any that is free (8000)")
    parser.add_argument("--watch", metavar="FOLDER", help="inspect the images that come in there, with the first one")
    parser.add_argument("--token", help="who asks has to give it (SSIM_AE_TOKEN of the environment)")
    parser.add_argument("--queue", type=int, default=32, help="images that may wait for a core (32)")
    parser.add_argument("--max_mb", type=int, default=32, help="size of a request, MiB (32)")
    parser.add_argument("--max_megapixels", type=int, default=25, help="size of an image, million px (25)")
    parser.add_argument("--timeout", type=float, default=30, help="for a request, seconds (30)")
    parser.add_argument("--device_target", default="auto", help="auto, CPU, GPU or Ascend")
    parser.add_runtime()


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    from ssim_ae.buckets import is_url
    from ssim_ae.images.files import MAX_PIXELS
    from ssim_ae.server.limits import MIB, Limits
    from ssim_ae.server.serve import named, serve

    if options.queue < 0 or min(options.max_mb, options.max_megapixels) < 1 or not 0 < options.timeout < inf:
        raise InputError("--queue should be at least 0, --max_mb and --max_megapixels at least 1, --timeout above 0")
    if options.max_megapixels * 10**6 > MAX_PIXELS:
        raise InputError(f"--max_megapixels should be at most {MAX_PIXELS // 10**6}")
    if options.watch and is_url(options.watch):
        raise InputError("--watch should name a folder on this machine")
    serve(
        named(options.detectors),
        host=options.host,
        port=options.port,
        watch=Path(options.watch) if options.watch else None,
        token=options.token or os.environ.get("SSIM_AE_TOKEN"),
        limits=Limits(options.queue, options.max_mb * MIB, options.max_megapixels * 10**6, options.timeout),
        runtime=options.runtime,
        device_target=options.device_target,
        threads=options.threads,
    )
    return 0
