"""The file of a recording: new, private, and complete line by line, however its writer ends."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import define

from gpurent.errors import UsageError
from gpurent.infra.platform.local_files import make_local_files
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error


@define
class RecordingFile:
    """Open for appending lines; ``path`` as the user named it."""

    path: Path
    _handle: int
    _end: int = 0

    @classmethod
    def create(cls, path: Path) -> RecordingFile:
        """Create the file; raises `UsageError` if anything is there already, a link too, or if it cannot be made."""
        try:
            tree = make_local_files().open_tree(path.absolute().parent)
            try:
                handle = tree.open_folder(()).create_file(path.name, must_be_new=True)
            finally:
                tree.close()
        except FileExistsError:
            raise UsageError(
                _("{path} is there already, and a recording overwrites nothing").format(path=path),
                hint=_("Name a new file."),
            ) from None
        except OSError as error:
            raise UsageError(
                _("{path} cannot be made: {why}").format(path=path, why=describe_error(error))
            ) from None
        return cls(path, handle)

    def append(self, line: bytes) -> None:
        """Write one line with its end; raises `OSError`, and then nothing of it is left."""
        data = memoryview(line)
        try:
            while data:
                data = data[os.write(self._handle, data) :]
        except OSError:
            os.ftruncate(self._handle, self._end)
            raise
        self._end += len(line)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
