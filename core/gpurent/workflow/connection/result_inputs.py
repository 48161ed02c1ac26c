"""Which of the named results are uploaded themselves, so that the job need not change them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from attrs import field, frozen

from gpurent.domain.local_files import FileStates
from gpurent.domain.result_paths import compile_pattern, is_pattern, iter_folders


@frozen(kw_only=True)
class UploadedInputs:
    """``names``: results, as they were asked for, of which something was uploaded, or was there as it is here."""

    names: tuple[str, ...]


@frozen(eq=False)
class ResultInputs:
    """Implements `FileStates`. ``folder`` is the uploaded one, ``wanted`` the paths and patterns of the results."""

    folder: str
    wanted: Sequence[str]
    _found: set[str] = field(factory=set, init=False)

    def add_file(self, path: bytes, size: int, time: int) -> None:
        self._add(path)

    def add_link(self, path: bytes, target: bytes) -> None:
        self._add(path)

    def _add(self, path: bytes) -> None:
        if len(self._found) == len(self.wanted):
            return
        name = os.path.relpath(os.fsdecode(path), self.folder)
        places = (name, *iter_folders(name))
        for wanted in self.wanted:
            if wanted not in self._found and _is_among(wanted, places):
                self._found.add(wanted)

    def get_inputs(self) -> UploadedInputs:
        return UploadedInputs(names=tuple(sorted(self._found)))


def _is_among(wanted: str, places: Sequence[str]) -> bool:
    if not is_pattern(wanted):
        return wanted in places
    pattern = compile_pattern(wanted)
    return any(pattern.fullmatch(os.fsencode(place)) for place in places)


@frozen(eq=False)
class BothStates:
    """Implements `FileStates`: tells two others."""

    first: FileStates
    second: FileStates

    def add_file(self, path: bytes, size: int, time: int) -> None:
        self.first.add_file(path, size, time)
        self.second.add_file(path, size, time)

    def add_link(self, path: bytes, target: bytes) -> None:
        self.first.add_link(path, target)
        self.second.add_link(path, target)
