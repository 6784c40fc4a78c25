"""The runs that a server inspects with: people make candidates, adopt them and roll back, while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock, Thread
from typing import Annotated, NamedTuple, Self

from pydantic import BaseModel, Field

from ssim_ae.console import progress_reported_to
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.run_folder import (
    DETECTOR_NAME,
    Version,
    current_version,
    detector_path,
    roll_back,
    run_of,
    version_paths,
)
from ssim_ae.errors import Conflict, InputError
from ssim_ae.line.candidate import CANDIDATE_NAME, adopt, candidate_of, discard, propose
from ssim_ae.line.comparison import ComparedGroup, ComparedImage, Comparison, compare, picture_path, read_comparison
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.reviews import reviewed_images
from ssim_ae.line.server_recorder import ServerRecorder
from ssim_ae.line.version_changes import Action, VersionChange, changes_of, record_change
from ssim_ae.machine import return_freed_memory
from ssim_ae.methods import method_of
from ssim_ae.server.inspector import Inspector
from ssim_ae.storage import lock_folder


class Work(BaseModel):
    """The progress of a candidate that is being made."""

    step: Annotated[str, Field(description="What is being done.", examples=["comparing"])] = "starting"
    done: Annotated[int, Field(description="Images that are done in this step.")] = 0
    total: Annotated[int, Field(description="Images in this step; 0 if not known.")] = 0


class CandidateState(BaseModel):
    """A candidate, and what it would change."""

    fingerprint: Annotated[str, Field(description="Identifies the candidate, for its adoption.")]
    thresholds: Annotated[str, Field(description="Where its thresholds come from, and the false alarms to expect.")]
    groups: Annotated[list[ComparedGroup], Field(description="How many images each detector rejects.")]
    changed: Annotated[list[ComparedImage], Field(description="The images whose verdicts change.")]


class RunState(BaseModel):
    """A run of the server: its versions, its reviewed images and its candidate."""

    detector: Annotated[str, Field(description="Name of the detector.", examples=["bottle-1"])]
    fingerprint: Annotated[str, Field(description="Identifies the current version.")]
    version: Annotated[int, Field(description="Number of the current version.", examples=[2])]
    versions: Annotated[int, Field(description="Number of versions.", examples=[3])]
    can_learn: Annotated[bool, Field(description="Whether its method can learn confirmed good images.")]
    confirmed_good: Annotated[int, Field(description="Kept images that were confirmed good.")]
    confirmed_defective: Annotated[int, Field(description="Kept images that were confirmed defective.")]
    work: Annotated[Work | None, Field(description="The candidate that is being made, if any.")]
    problem: Annotated[str, Field(description="Why the last candidate could not be made; empty if it could.")]
    candidate: Annotated[CandidateState | None, Field(description="The candidate, if there is one.")]
    changes: Annotated[list[VersionChange], Field(description="The last changes of the version, the latest first.")]


class _Content(NamedTuple):
    """What the files of a run say, and the sizes and times by which a change of them is seen."""

    stamp: tuple[object, ...]
    fingerprint: str
    version: Version
    can_learn: bool


class ServedRuns:
    """The runs among a server's detectors, by name. Leaving its `with` block stops the work in the background.

    All methods may be called by several threads. They raise InputError for a detector that is no run, and Conflict.
    """

    def __init__(self, log: InspectionLog, recorder: ServerRecorder, detectors: Mapping[str, Path]) -> None:
        self.log = log
        self._recorder = recorder
        self._runs = {name: run for name, path in detectors.items() if (run := run_of(path))}
        self._contents: dict[str, _Content] = {}
        self._work: dict[str, Work] = {}
        self._problems: dict[str, str] = {}
        self._lock = Lock()  # of the above, and of changes
        self._threads: list[Thread] = []
        self._stopping = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()

    @property
    def names(self) -> list[str]:
        """The names of the runs."""
        return list(self._runs)

    def state(self, name: str) -> RunState:
        """Return what is known of a run."""
        run = self._run(name)
        content = self._content(name, run)
        verdicts = [image.verdict for image in reviewed_images(self.log, name)]
        return RunState(
            detector=name,
            fingerprint=content.fingerprint,
            version=content.version.number,
            versions=content.version.total,
            can_learn=content.can_learn,
            confirmed_good=verdicts.count("good"),
            confirmed_defective=verdicts.count("defective"),
            work=self._work.get(name),
            problem=self._problems.get(name, ""),
            candidate=None if name in self._work else _candidate_state(run),
            changes=changes_of(self.log, name),
        )

    def make_candidate(self, name: str, *, learn: bool) -> None:
        """Start to make and compare a candidate, in the background."""
        run = self._run(name)
        with self._lock:
            if self._work:
                raise Conflict(f"{next(iter(self._work))}: a candidate is being made; wait for it")
            self._work[name] = Work()
            self._problems.pop(name, None)
        thread = Thread(target=self._make_candidate, args=(name, run, learn), name=f"candidate of {name}")
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        thread.start()

    def discard(self, name: str) -> None:
        """Remove the candidate of a run."""
        run = self._run(name)
        with self._lock:
            self._check_idle(name)
            discard(run)

    def adopt(self, name: str, candidate: str, person: str, inspector: Inspector) -> None:
        """Make the candidate with this fingerprint the current version, and let the server inspect with it."""
        run = self._run(name)
        with self._lock:
            self._check_idle(name)
            folder = candidate_of(run)
            if not folder or read_detector(folder / DETECTOR_NAME).fingerprint != candidate:
                raise Conflict(f"{name}: has another candidate by now, or none; load the page again")
            self._use(name, adopt(run), "adopted", person, inspector)

    def roll_back(self, name: str, current: str, person: str, inspector: Inspector) -> None:
        """Go back from the version with this fingerprint to the one before, and let the server inspect with it."""
        run = self._run(name)
        with self._lock:
            self._check_idle(name)
            if read_detector(detector_path(run)).fingerprint != current:
                raise Conflict(f"{name}: has another version by now; load the page again")
            with lock_folder(run):
                version = roll_back(run)
            self._use(name, version, "rolled back", person, inspector)

    def picture(self, name: str, number: int) -> Path | None:
        """Return the file with a picture of a changed image of the candidate, or None if there is none."""
        path = picture_path(self._run(name) / CANDIDATE_NAME, number)
        return path if path.exists() else None

    def _run(self, name: str) -> Path:
        if name not in self._runs:
            raise InputError(f"{name}: no run of this server; choose one of {', '.join(self._runs) or 'none'}")
        return self._runs[name]

    def _check_idle(self, name: str) -> None:
        if name in self._work:
            raise Conflict(f"{name}: a candidate is being made; wait for it")

    def _make_candidate(self, name: str, run: Path, learn: bool) -> None:
        def report(step: str, done: int, total: int) -> None:
            if self._stopping:
                raise _StoppedError
            self._work[name] = Work(step=step, done=done, total=total)

        problem = ""
        try:
            with progress_reported_to(report):
                reviewed = reviewed_images(self.log, name)
                compare(run, propose(run, reviewed, learn=learn), reviewed)
        except _StoppedError:
            discard(run)
        except Exception as error:
            problem = str(error) if isinstance(error, InputError) else f"{name}: {error!r}"
        finally:
            return_freed_memory()
            with self._lock:
                self._problems[name] = problem
                del self._work[name]

    def _use(self, name: str, version: Version, action: Action, person: str, inspector: Inspector) -> None:
        """Let the server inspect with the current version, and record who made it the current one."""
        detector = inspector.detectors[name].reopen()
        self._recorder.expect(name, detector.fingerprint, version.number)
        inspector.replace(name, detector)
        record_change(self.log, name, person, action, version.number, detector.fingerprint)

    def _content(self, name: str, run: Path) -> _Content:
        """Return what the files of a run say; they are read again once they have changed."""
        path = detector_path(run)
        status = path.stat()
        versions = version_paths(run)
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino, len(versions))
        known = self._contents.get(name)
        if known and known.stamp == stamp:
            return known
        file, number = read_detector(path), current_version(run) or 1
        content = _Content(
            stamp, file.fingerprint, Version(number, max(number, len(versions))), not method_of(file.config).engines
        )
        self._contents[name] = content
        return content


class _StoppedError(Exception):
    """The server stops."""


def _candidate_state(run: Path) -> CandidateState | None:
    folder = candidate_of(run)
    comparison: Comparison | None = read_comparison(folder) if folder else None
    if not folder or not comparison:
        return None
    file = read_detector(folder / DETECTOR_NAME)
    return CandidateState(
        fingerprint=file.fingerprint,
        thresholds=str(file.provenance.thresholds),
        groups=comparison.groups(),
        changed=comparison.changed,
    )
