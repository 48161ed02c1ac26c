"""The copies of living leases in small private files: one in the data folder, one outside of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define, evolve, field, frozen

from gpurent.domain.lease_copy import LeaseCopy
from gpurent.errors import GpurentError
from gpurent.infra.outer_folder import find_outer_path
from gpurent.infra.platform.file_locks import hold_file_lock
from gpurent.infra.platform.system import make_private_folder, read_private_file, write_private_file
from gpurent.infra.sqlite.codec import get_converter

FILE_NAME = "living-leases.json"


@frozen(kw_only=True)
class CopyFile:
    """The content of a file; of two files of one installation, that of the higher ``revision`` is the newer one.

    ``formers``: the installations whose state was restored from a backup here, the latest first.
    """

    installation: str = ""
    formers: tuple[str, ...] = ()
    revision: int = 0
    leases: Mapping[str, LeaseCopy] = field(factory=dict)


@define(eq=False)
class LeaseCopyFiles:
    """Implements `gpurent.ports.lease_copies.LeaseCopies`. ``paths``: the file in the data folder first.

    Every file holds everything, so that one may be lost, damaged, or restored from a backup.
    """

    paths: Sequence[Path]
    lock_path: Path

    def get_installation(self) -> str:
        found = self.read_content()
        if not found.installation:
            with self._hold_lock():
                found = self.read_content()
                if not found.installation:
                    found = self._write(found)
        return found.installation

    def list_installations(self) -> Sequence[str]:
        return (self.get_installation(), *self.read_content().formers)

    def list_copies(self) -> Sequence[LeaseCopy]:
        return list(self.read_content().leases.values())

    def find_copy(self, lease_id: str) -> LeaseCopy | None:
        return self.read_content().leases.get(lease_id)

    @contextmanager
    def _hold_lock(self) -> Iterator[None]:
        """Wait for the lock of the files; nothing may await while it is held, as other tasks would wait for ever."""
        folder = make_private_folder(self.lock_path.parent)
        with hold_file_lock(folder / self.lock_path.name):
            yield

    def put_copy(self, copy: LeaseCopy) -> None:
        with self._hold_lock():
            found = self.read_content()
            self._write(evolve(found, leases={**found.leases, copy.lease: copy}))

    def delete_copy(self, lease_id: str) -> None:
        with self._hold_lock():
            found = self.read_content()
            if lease_id in found.leases:
                rest = {name: copy for name, copy in found.leases.items() if name != lease_id}
                self._write(evolve(found, leases=rest))

    def read_content(self) -> CopyFile:
        """Return what the files have, taken together."""
        files = [found for path in self.paths if (found := read_copy_file(path)) is not None]
        if not files:
            return CopyFile()
        newest = max(files, key=lambda file: file.revision)
        if len({file.installation for file in files}) == 1:
            return newest
        # Folders of two installations were mixed: rather too many leases than one too few.
        every = {name: copy for file in files for name, copy in file.leases.items()}
        formers = dict.fromkeys(name for file in files for name in file.formers)
        return CopyFile(
            installation=files[0].installation,
            formers=tuple(formers),
            revision=newest.revision,
            leases=every,
        )

    def _write(self, content: CopyFile) -> CopyFile:
        """Write every file that can be written; raises the last error if none can."""
        import secrets  # listings load this module and write nothing

        made = evolve(
            content,
            installation=content.installation or secrets.token_hex(8),
            revision=content.revision + 1,
        )
        data = dump_copy_file(made)
        failures = [error for path in self.paths if (error := _try_write(path, data)) is not None]
        if len(failures) == len(self.paths):
            raise failures[-1]
        return made


def dump_copy_file(content: CopyFile) -> bytes:
    text = json.dumps(get_converter().unstructure(content), indent=1, sort_keys=True, ensure_ascii=False)
    return text.encode() + b"\n"


def read_copy_file(path: Path) -> CopyFile | None:
    """Return the content of a file; None if it is missing, not private, or damaged."""
    try:
        return get_converter().structure(json.loads(read_private_file(path)), CopyFile)
    except (OSError, GpurentError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _try_write(path: Path, data: bytes) -> OSError | None:
    try:
        write_private_file(make_private_folder(path.parent) / path.name, data)
    except OSError as error:
        return error
    except GpurentError as error:
        return PermissionError(error.message)
    return None


def make_lease_copy_files(home: Path, environment: Mapping[str, str]) -> LeaseCopyFiles:
    """Return the copies of the data folder ``home``: in it, and below `GPURENT_STATE_HOME` or the XDG state folder."""
    outer = find_outer_path(home, FILE_NAME, environment)
    paths = [home / FILE_NAME, *([outer] if outer is not None else [])]
    return LeaseCopyFiles(paths, home / "locks" / "lease-copies.lock")
