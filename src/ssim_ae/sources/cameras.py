"""Pictures of a video file, a stream or a USB camera, read by PyAV."""

from __future__ import annotations

import time
from collections.abc import Iterator
from errno import EINVAL
from threading import Event
from typing import NamedTuple

import av
from av.error import ExitError, FFmpegError, InvalidDataError

from ssim_ae.errors import InputError, first_line
from ssim_ae.sources.settings import SourceSettings

TIMEOUT = 5.0  # seconds to connect, and to wait for the next data
MAX_DAMAGED = 100  # packets in sequence that hold no picture
# Formats that name no other files or servers; others, as playlists, could make this machine send requests to any place.
FORMATS = "rtsp,mpjpeg,mjpeg,jpeg_pipe,mpegts,flv,matroska,webm,mov,mp4,avi,h264,hevc,ogg,asf,mpeg,gif,nut,yuv4mpegpipe"
STREAM_OPTIONS = {
    "format_whitelist": FORMATS,
    "max_redirects": "0",
    "rtsp_transport": "tcp",
    "fflags": "nobuffer",
    "analyzeduration": "1000000",  # microseconds
}
PROTOCOLS = {"rtsp": "rtsp,tcp", "rtsps": "rtsps,tls,tcp", "http": "http,tcp", "https": "https,tls,tcp"}
FILE_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}


class CameraError(Exception):
    """A source is away. The message is the reason, without its address."""


class Picture(NamedTuple):
    """A picture of a video, and its time in seconds: in the file, or on the clock of this machine."""

    image: av.VideoFrame
    time: float


def pictures_of(settings: SourceSettings, stopped: Event) -> Iterator[Picture]:
    """Open a source and yield its pictures until it ends or `stopped` is set; a file at its own speed.

    Raises CameraError if the source cannot be opened or read.
    """
    if settings.kind == "genicam":
        from ssim_ae.sources.genicam import genicam_images

        try:
            for image in genicam_images(settings.address.removeprefix("genicam:"), stopped):
                yield Picture(image, time.monotonic())
        except Exception as error:  # each maker's producer raises errors of its own
            raise CameraError(first_line(error)) from error
        return
    images = _images(settings, stopped)
    yield from _paced(images, stopped) if settings.kind == "video" else (Picture(i, time.monotonic()) for i in images)


def check_video(settings: SourceSettings) -> None:
    """Raise InputError if a video file has no picture that can be decoded."""
    try:
        if next(_images(settings, Event()), None) is None:
            raise CameraError("no picture in it")
    except CameraError as error:
        raise InputError(f"--source {settings.name}: {error}; give a video file") from error


def _images(settings: SourceSettings, stopped: Event) -> Iterator[av.VideoFrame]:
    try:
        with _open(settings) as container:
            if not container.streams.video:
                raise CameraError("no video in it")
            stream = container.streams.video[0]
            damaged = 0
            for packet in container.demux(stream):
                if stopped.is_set():
                    return
                try:
                    images = packet.decode()
                    damaged = 0
                except InvalidDataError as error:  # the next picture may be whole
                    images = []
                    damaged += 1
                    if damaged > MAX_DAMAGED:
                        raise CameraError("its pictures cannot be decoded") from error
                yield from (image for image in images if isinstance(image, av.VideoFrame))
    except ExitError as error:
        raise CameraError(f"no answer within {TIMEOUT:g} s") from error
    except FFmpegError as error:  # its message has the address
        reason = "not a video of a supported format" if error.errno == EINVAL else error.strerror
        raise CameraError(reason or type(error).__name__) from None


def _open(settings: SourceSettings) -> av.container.InputContainer:
    address = settings.address
    if settings.kind == "video":
        return av.open(f"file:{address}", options=FILE_OPTIONS)
    if settings.kind == "stream":
        scheme = address.partition("://")[0].lower()
        return av.open(address, options={**STREAM_OPTIONS, "protocol_whitelist": PROTOCOLS[scheme]}, timeout=TIMEOUT)
    return av.open(address.replace("usb:", "/dev/video"), format="v4l2", timeout=TIMEOUT)


def _paced(images: Iterator[av.VideoFrame], stopped: Event) -> Iterator[Picture]:
    """Yield the images of a file when they are due."""
    start: float | None = None
    for image in images:
        due = image.time or 0.0
        start = time.monotonic() - due if start is None else start
        if stopped.wait(max(0.0, start + due - time.monotonic())):
            return
        yield Picture(image, due)
