"""Rules that decide which pictures of a source are inspected."""

from __future__ import annotations

from typing import Protocol

import numpy as np

THUMBNAIL_SIZE = (64, 48)  # width and height of the gray thumbnails that are compared, px
CHANGE = 12  # gray levels of 255, beside a change of the light as a whole
CHANGED_SHARE = 0.005  # of the picture: what changes less is noise
FOLLOW = 60.0  # seconds in which the empty picture follows the light: a part that comes slowly must not become empty
NO_THUMBNAIL = np.zeros((0, 0), np.uint8)  # for triggers that do not look at it
ROUNDING = 0.001  # seconds, of the times of pictures
REST = 0.3  # seconds without a change after which a picture is still


class Trigger(Protocol):
    """Decides for each picture of a source whether it is inspected."""

    needs_thumbnail: bool  # whether `fires` looks at the thumbnail

    def fires(self, thumbnail: np.ndarray, time: float) -> bool:
        """Return whether to inspect the picture at a time in seconds, with its gray `thumbnail` (h, w), uint8."""
        ...

    def forget_empty(self) -> None:
        """Take the next picture that is still for the empty one, if the rule has one."""
        ...


class OnRequest:
    """Inspects no picture by itself: only those that a client requests."""

    needs_thumbnail = False

    def fires(self, thumbnail: np.ndarray, time: float) -> bool:  # noqa: ARG002
        """Return False."""
        return False

    def forget_empty(self) -> None:
        """Do nothing."""


class Every(OnRequest):
    """Inspects a picture every so many seconds, the first one at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._next: float | None = None

    def fires(self, thumbnail: np.ndarray, time: float) -> bool:  # noqa: ARG002
        """Return whether the interval is over."""
        if self._next is not None and time < self._next - ROUNDING:
            return False
        is_on_schedule = self._next is not None and time < self._next + self.seconds
        self._next = (self._next if is_on_schedule and self._next else time) + self.seconds
        return True


class Rest:
    """Inspects a picture once it is still after a change.

    With `needs_part`, only if it differs from the empty picture: the first one that is still, which then follows slow
    changes of the light.
    """

    needs_thumbnail = True

    def __init__(self, *, needs_part: bool) -> None:
        self.needs_part = needs_part
        self._anchor: np.ndarray | None = None  # the first one since the last change
        self._rests_since = 0.0
        self._is_decided = False
        self._empty: np.ndarray | None = None
        self._time = 0.0  # of the former picture
        self._has_changed = False

    def fires(self, thumbnail: np.ndarray, time: float) -> bool:
        """Return whether the picture has just become still, with a part in it if one is needed."""
        elapsed, self._time = time - self._time, time
        if self._anchor is None or differs(thumbnail, self._anchor):
            self._has_changed = self._anchor is not None
            self._anchor, self._rests_since, self._is_decided = thumbnail, time, False
            return False
        if time - self._rests_since < REST:
            return False
        is_decided, self._is_decided = self._is_decided, True
        if not self.needs_part:
            return self._has_changed and not is_decided
        if self._empty is None:
            self._empty = thumbnail.astype(np.float32)
        if differs(thumbnail, self._empty):
            return not is_decided
        self._empty = self._empty + (thumbnail - self._empty) * min(1.0, elapsed / FOLLOW)
        return False

    def forget_empty(self) -> None:
        """Take the next picture that is still for the empty one."""
        self._empty = self._anchor = None


def differs(thumbnail: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two gray thumbnails differ in more than noise and the light as a whole."""
    difference = thumbnail.astype(np.float32) - other
    changed = np.abs(difference - np.median(difference)) > CHANGE
    return bool(changed.mean() > CHANGED_SHARE)
