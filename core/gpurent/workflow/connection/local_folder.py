"""Checks, before money is spent, that results can be written on this computer. Writes nothing."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from gpurent.domain.result_paths import get_pattern_base, is_pattern
from gpurent.domain.trip import TripSpec, UploadSpec
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error

MIN_FREE_BYTES = 1 << 20


@frozen
class LocalPlace:
    """The folder ``below`` (path components) ``root``. Links are followed on the way to ``root``, and none below it."""

    root: Path
    below: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return self.root.joinpath(*self.below)


def get_upload_place(upload: UploadSpec) -> LocalPlace:
    """Return the local folder of an upload."""
    return _make_place(upload.folder, upload.root)


def get_results_place(spec: TripSpec) -> LocalPlace:
    """Return the local folder of the results."""
    results = spec.results
    return _make_place(results.dir, results.root) if results.dir else get_upload_place(spec.upload)


def get_results_folder(spec: TripSpec) -> Path:
    return get_results_place(spec).path


def _make_place(folder: str, root: str) -> LocalPlace:
    if root and Path(folder).is_relative_to(root):
        return LocalPlace(Path(root), Path(folder).relative_to(root).parts)
    return LocalPlace(Path(folder))


def check_results_folder(spec: TripSpec) -> None:
    """Raise `UsageError` if results could not be written: a file in the way, no permission, no space."""
    if not spec.results.are_wanted:
        return
    place = get_results_place(spec)
    folder = place.path
    try:
        if folder.resolve() == Path.home().resolve():
            raise _make_error(folder, _("it is your home folder"))
        _check_folder(folder)
        for path in spec.results.paths or (".",):
            base = get_pattern_base(path) if is_pattern(path) else path
            parts = (*place.below, *(part for part in base.split("/") if part != "."))
            _check_place(folder, place.root, parts)
    except OSError as error:
        raise _make_error(folder, describe_error(error)) from None


def _check_folder(folder: Path) -> None:
    """Check the folder, or where it would be created: the nearest folder above it that exists."""
    existing = folder
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise _make_error(folder, _("{name} is not a folder").format(name=existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _make_error(folder, _("no permission to write to {name}").format(name=existing))
    is_full = shutil.disk_usage(existing).free < MIN_FREE_BYTES
    if sys.platform != "win32":  # there, writing itself tells
        disk = os.statvfs(existing)
        if disk.f_flag & os.ST_RDONLY:
            raise _make_error(folder, _("{name} is on a read-only disk").format(name=existing))
        is_full = is_full or bool(disk.f_files and not disk.f_favail)
    if is_full:
        raise _make_error(folder, _("the disk of {name} is full").format(name=existing))


def _check_place(folder: Path, place: Path, parts: Sequence[str]) -> None:
    """Check what is where a result will be written: files are never written through a link or in place of a folder."""
    for number, part in enumerate(parts):
        place = place / part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            return
        is_last = number == len(parts) - 1
        if stat.S_ISLNK(mode) and (not is_last or place.is_dir()):
            raise _make_error(folder, _("{name} is a symbolic link").format(name=place))
        if not is_last and not stat.S_ISDIR(mode):
            raise _make_error(folder, _("{name} is not a folder").format(name=place))
        if stat.S_ISDIR(mode) and not os.access(place, os.W_OK | os.X_OK):
            raise _make_error(folder, _("no permission to write to {name}").format(name=place))


def _make_error(folder: Path, why: str) -> UsageError:
    return UsageError(
        _("the results cannot be written to {folder}: {why}").format(folder=folder, why=why),
        hint=_("Choose another folder with --results-dir, or want none: --no-results"),
    )
