"""Which local files a download may replace: those that were uploaded or downloaded, and not changed here since."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from attrs import evolve, field, frozen

from gpurent.domain.filenames import escape_name
from gpurent.domain.local_files import compute_file_state, compute_link_state
from gpurent.domain.machine_folders import PROJECT_FOLDER_PATTERN, TRIP_FOLDER_PATTERN, find_work_folder
from gpurent.domain.transfer import SkipKind, SkippedFile, TransferReport
from gpurent.domain.upload_rules import is_ignore_file
from gpurent.locale import _
from gpurent.ports.transferred_files import StateRecords, TransferredFiles

_TRIP_FOLDER = re.compile(TRIP_FOLDER_PATTERN)
_PROJECT_FOLDER = re.compile(PROJECT_FOLDER_PATTERN)


class UploadedFiles:
    """Implements `FileStates`: the states of one upload, which count when it has succeeded."""

    def __init__(self) -> None:
        self._files: list[tuple[bytes, int, int]] = []
        self._links: list[tuple[bytes, bytes]] = []
        self._folders: dict[bytes, bytes] = {}

    def add_file(self, path: bytes, size: int, time: int) -> None:
        self._files.append((path, size, time))

    def add_link(self, path: bytes, target: bytes) -> None:
        self._links.append((path, target))

    def iter_states(self) -> Iterator[bytes]:
        for path, size, time in self._files:
            yield compute_file_state(self._get_real_path(path), size, time)
        for path, target in self._links:
            yield compute_link_state(self._get_real_path(path), target)

    def _get_real_path(self, path: bytes) -> bytes:
        """Return the path as a download will see it: links in its folders are resolved."""
        folder, base = os.path.split(path)
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = os.path.realpath(folder or b".")
        return b"/".join((real, base))


@frozen(eq=False)
class DownloadableFiles:
    """Implements `KnownFiles` from a machine's records; collects what is kept. ``path``: with all links resolved.

    ``prefix``: the folder, with its slash, that the names of what is kept are below.
    """

    records: StateRecords
    prefix: str = ""
    _kept: dict[str, str] = field(factory=dict)

    def below(self, folder: str) -> DownloadableFiles:
        """Return the same for a download into a folder below."""
        prefix = f"{escape_name(folder)}/" if folder else ""
        return evolve(self, prefix=self.prefix + prefix)

    def add_file(self, path: bytes, size: int, time: int) -> None:
        self.records.add([compute_file_state(path, size, time)], came=True)

    def add_link(self, path: bytes, target: bytes) -> None:
        self.records.add([compute_link_state(path, target)], came=True)

    def has_file(self, path: bytes, size: int, time: int) -> bool:
        return compute_file_state(path, size, time) in self.records

    def has_link(self, path: bytes, target: bytes) -> bool:
        return compute_link_state(path, target) in self.records

    def add_kept(self, name: str, place: str) -> None:
        self._kept[self.prefix + name] = place and self.prefix + place

    def add_to_report(self, report: TransferReport) -> TransferReport:
        """Return the report with the files that were kept since the last one."""
        kept = dict(self._kept)
        self._kept.clear()
        skipped = (
            SkippedFile(name=name, reason=_describe_kept(name, place), kind=SkipKind.KEPT, beside=place)
            for name, place in sorted(kept.items())
        )
        return evolve(report, skipped=(*report.skipped, *skipped))


def _describe_kept(name: str, place: str) -> str:
    if place and is_ignore_file(posixpath.basename(name).encode()):
        return _("it decides what later uploads send; the machine's version is in {name}").format(name=place)
    if place:
        return _("changed on this computer; the machine's version is in {name}").format(name=place)
    return _("changed on this computer, and not on the machine")


def _name_records(machine: str, remote_path: str) -> str:
    """Return whose records ``remote_path`` has. Any number of machines may have the folder of one project."""
    path = posixpath.normpath(remote_path)
    if project := _PROJECT_FOLDER.search(path):  # first: a project may be named like a trip
        return f"{machine} {project.group()}"
    trip = _TRIP_FOLDER.search(path)
    return trip.group() if trip else machine


@frozen
class KnownFilesMaker:
    """Opens the records of transfers: those of a trip, of a project on a machine, or of all others with a machine.

    A trip may go on with another lease, whose machine has the same folder; and two may use one lease, of which each has
    its own files. A project's files on one machine say nothing of those on another: what was sent to the first is
    not what the second gives back. What an earlier trip has brought may be replaced, although it worked in the same
    folder.
    """

    files: TransferredFiles

    @contextmanager
    def open_downloadable(
        self, lease_id: str, remote_paths: Iterable[str], trip_id: str = ""
    ) -> Iterator[DownloadableFiles]:
        """``remote_paths``: what is downloaded; ``trip_id``: of the trip whose results they are."""
        with closing(self._open_records(lease_id, remote_paths, trip_id)) as records:
            yield DownloadableFiles(records)

    def record_upload(self, lease_id: str, target: str, uploaded: UploadedFiles, trip_id: str = "") -> None:
        with closing(self._open_records(lease_id, (target,), trip_id)) as records:
            records.add(uploaded.iter_states(), came=False)

    def _open_records(self, lease_id: str, remote_paths: Iterable[str], trip_id: str) -> StateRecords:
        """The lease's records have what the trips transferred, too, because a path may lead to any folder."""
        machine = f"lease {lease_id}"
        names = dict.fromkeys(_name_records(machine, path) for path in remote_paths)
        others = () if machine in names else (machine,)
        own = find_work_folder(trip_id, "")
        if trip_id and own not in names:
            return self.files.open_records((own,), (*names, *others))
        return self.files.open_records(tuple(names), others)
