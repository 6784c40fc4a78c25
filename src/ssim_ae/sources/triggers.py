"""Rules that decide which pictures of a source are inspected."""

from __future__ import annotations

from typing import Protocol

import numpy as np

VIEW_SIZE = (64, 48)  # width and height of the gray views that are compared, px
CHANGE = 12  # gray levels of 255, beside a change of the light of the whole view
CHANGED_SHARE = 0.005  # of the view: what changes less is noise
NO_VIEW = np.zeros((0, 0), np.uint8)  # for triggers that do not look at it
ROUNDING = 0.001  # seconds, of the times of pictures
REST = 0.3  # seconds without a change until a picture is still


class Trigger(Protocol):
    """Decides for each picture of a source whether it is inspected."""

    needs_view: bool  # whether `fires` looks at the view

    def fires(self, view: np.ndarray, time: float) -> bool:
        """Return whether to inspect the picture at a time in seconds, which has the gray `view` (h, w), uint8."""
        ...

    def forget_empty_view(self) -> None:
        """Take the next view that is still for the empty one, if the rule has one."""
        ...


class OnRequest:
    """Inspects no picture by itself: only those that a client requests."""

    needs_view = False

    def fires(self, view: np.ndarray, time: float) -> bool:  # noqa: ARG002
        """Return False."""
        return False

    def forget_empty_view(self) -> None:
        """Do nothing."""


class Every(OnRequest):
    """Inspects a picture every so many seconds, the first one at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._next: float | None = None

    def fires(self, view: np.ndarray, time: float) -> bool:  # noqa: ARG002
        """Return whether the interval is over."""
        if self._next is not None and time < self._next - ROUNDING:
            return False
        is_on_schedule = self._next is not None and time < self._next + self.seconds
        self._next = (self._next if is_on_schedule and self._next else time) + self.seconds
        return True


class Rest:
    """Inspects a picture once when the view has come to rest after a change.

    With `needs_part`, only if it differs from the empty view: the first view that is still is taken for empty, and each
    later one that is like it, so that it follows slow changes of the light.
    """

    needs_view = True

    def __init__(self, *, needs_part: bool) -> None:
        self.needs_part = needs_part
        self._anchor: np.ndarray | None = None  # the first view since the last change
        self._rests_since = 0.0
        self._is_decided = False
        self._empty: np.ndarray | None = None
        self._has_changed = False

    def fires(self, view: np.ndarray, time: float) -> bool:
        """Return whether the view has just come to rest, with a part in it if one is needed."""
        if self._anchor is None or differs(view, self._anchor):
            self._has_changed = self._anchor is not None
            self._anchor, self._rests_since, self._is_decided = view, time, False
            return False
        if self._is_decided or time - self._rests_since < REST:
            return False
        self._is_decided = True
        if not self.needs_part:
            return self._has_changed
        if self._empty is None or not differs(view, self._empty):
            self._empty = view
            return False
        return True

    def forget_empty_view(self) -> None:
        """Take the next view that is still for the empty one."""
        self._empty = self._anchor = None


def differs(view: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two gray views differ in more than noise, and in more than the light of the whole view."""
    difference = view.astype(np.int16) - other
    changed = np.abs(difference - np.median(difference)) > CHANGE
    return bool(changed.mean() > CHANGED_SHARE)
