"""Whether a transfer has got as far as its first byte."""

from __future__ import annotations

from attrs import define, frozen

from gpurent.ports.terminal import Progress


@define
class FirstByteWatch:
    """Notes, for every progress that it wraps, whether anything was transferred."""

    is_begun: bool = False

    def wrap(self, progress: Progress) -> Progress:
        return _WatchedProgress(progress, self)


@frozen
class _WatchedProgress:
    _progress: Progress
    _watch: FirstByteWatch

    def set_total(self, files: int, size: int) -> None:
        self._progress.set_total(files, size)

    def advance(self, size: int, name: str = "") -> None:
        self._watch.is_begun = True
        self._progress.advance(size, name)

    def finish_file(self, name: str) -> None:
        self._watch.is_begun = True
        self._progress.finish_file(name)
