"""Serve detectors over HTTP, with an inspection page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from ssim_ae.commands.log_options import add_log_options, open_log
from ssim_ae.commands.parser import Parser
from ssim_ae.errors import InputError

if TYPE_CHECKING:
    from ssim_ae.line.inspection_log import InspectionLog
    from ssim_ae.line.sinks.delivery import Deliveries
    from ssim_ae.server.roles import Access
    from ssim_ae.sources.settings import SourceSettings


def arguments(parser: Parser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "detectors", nargs="+", metavar="DETECTOR", help="detector file or run folder, or NAME=PATH to name it"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on, 0 for any free port (8000)")
    parser.add_argument("--watch", metavar="FOLDER", help="inspect new images in this folder with the first detector")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="inspect the pictures of rtsp://..., http://..., usb:0, genicam:SERIAL, a video or a folder; repeatable",
    )
    parser.add_argument(
        "--trigger",
        action="append",
        default=[],
        metavar="NAME=RULE",
        help="which pictures of a source: every:2s, still (a part rests), stop, request (every:1s)",
    )
    parser.add_argument("--token", help="require this Bearer token (environment variable SSIM_AE_TOKEN)")
    parser.add_argument("--tokens", metavar="FILE", help="require one of the tokens in this file: NAME ROLE TOKEN")
    parser.add_argument("--queue", type=int, default=32, help="number of images that may wait for a worker (32)")
    parser.add_argument("--max_mb", type=int, default=32, help="maximum size of a request body, MiB (32)")
    parser.add_argument("--max_megapixels", type=int, default=25, help="maximum size of an image, megapixels (25)")
    parser.add_argument("--timeout", type=float, default=30, help="maximum duration of a request, seconds (30)")
    parser.add_argument("--device_target", default="auto", help="auto, CPU, GPU or Ascend (auto)")
    add_log_options(parser)
    parser.add_argument(
        "--sink",
        action="append",
        metavar="URL",
        help="send a message for each logged inspection to this URL; repeatable: https://HOST/PATH, "
        "mqtt://HOST/TOPIC, opcua://HOST:PORT or stdout:",
    )
    parser.add_runtime_options()


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.detector.run_folder import current_version
    from ssim_ae.server.folder_watcher import WatchedFolder
    from ssim_ae.server.limits import MIB, Limits
    from ssim_ae.server.serve import detectors_by_name, serve

    _check(options)
    sources = _sources(options)
    cameras = [source for source in sources if source.kind != "folder"]
    folders = [WatchedFolder(Path(source.address), source.name) for source in sources if source.kind == "folder"]
    if options.watch:
        folders.append(WatchedFolder(Path(options.watch)))
    tokens = _tokens(options)
    detectors = detectors_by_name(options.detectors)
    with ExitStack() as resources:
        opened = open_log(options)
        recorder, extensions = None, []
        if opened:
            from ssim_ae.line.drift import DriftWatch, tell_of_alarm
            from ssim_ae.line.history import history_of
            from ssim_ae.line.served_runs import ServedRuns
            from ssim_ae.line.server_recorder import ServerRecorder

            log, names = resources.enter_context(opened), [source.name for source in sources]
            deliveries = resources.enter_context(_deliveries(log, options.sink, names)) if options.sink else None
            stations = [log.station, *names]
            drift = [DriftWatch(log, station, on_alarm=partial(tell_of_alarm, log)) for station in stations]
            recorder = ServerRecorder(log, {name: current_version(path) for name, path in detectors.items()}, drift)
            runs = resources.enter_context(ServedRuns(log, recorder, detectors))
            extensions = [history_of(log, runs, drift, deliveries)]
        if cameras:
            from ssim_ae.sources.extension import sources_of

            extensions.append(sources_of(cameras))
        serve(
            detectors,
            host=options.host,
            port=options.port,
            watch=folders,
            tokens=tokens,
            limits=Limits(options.queue, options.max_mb * MIB, options.max_megapixels * 10**6, options.timeout),
            runtime=options.runtime,
            device_target=options.device_target,
            threads=options.threads,
            recorder=recorder,
            extensions=extensions,
        )
    return 0


def _tokens(options: argparse.Namespace) -> list[Access]:
    """Return the tokens that the options or the environment name; none if they name none."""
    from ssim_ae.server.roles import only_token, read_tokens

    token = options.token or os.environ.get("SSIM_AE_TOKEN")
    if options.tokens and token:
        raise InputError("--tokens: contradicts the single token of --token or SSIM_AE_TOKEN; give one of them")
    if options.tokens:
        return read_tokens(Path(options.tokens))
    return only_token(token) if token else []


def _sources(options: argparse.Namespace) -> list[SourceSettings]:
    if not (options.source or options.trigger):
        return []
    from ssim_ae.sources.settings import source_settings

    return source_settings(options.source, options.trigger)


def _deliveries(log: InspectionLog, urls: Sequence[str], sources: Sequence[str]) -> Deliveries:
    from ssim_ae.line.sinks.delivery import Deliveries
    from ssim_ae.line.sinks.places import sinks_of

    return Deliveries(log, sinks_of(urls, log.station, sources))


def _check(options: argparse.Namespace) -> None:
    """Raise InputError if an option is out of range."""
    from ssim_ae.buckets import is_url
    from ssim_ae.images.files import MAX_PIXELS

    max_megapixels = MAX_PIXELS // 10**6
    if options.sink and not options.log:
        raise InputError("--sink: needs a log, which holds messages until they are delivered; add --log PLACE")
    if options.queue < 0:
        raise InputError(f"--queue: should be at least 0, not {options.queue}")
    if options.max_mb < 1:
        raise InputError(f"--max_mb: should be at least 1, not {options.max_mb}")
    if not 1 <= options.max_megapixels <= max_megapixels:
        raise InputError(f"--max_megapixels: should be from 1 to {max_megapixels}, not {options.max_megapixels}")
    if not (options.timeout > 0 and isfinite(options.timeout)):
        raise InputError(f"--timeout: should be a finite number above 0, not {options.timeout:g}")
    if options.watch and is_url(options.watch):
        raise InputError(f"--watch: should be a folder on this machine, not {options.watch}")
