"""A progress display that counts."""

from __future__ import annotations

from attrs import define, field


@define
class CountingProgress:
    """Counts the bytes and files that are reported; implements `gpurent.ports.terminal.Progress`."""

    files: int = 0
    size: int = 0
    moved: int = 0
    done: list[str] = field(factory=list)

    def set_total(self, files: int, size: int) -> None:
        self.files, self.size = files, size

    def advance(self, size: int, name: str = "") -> None:
        self.moved += size

    def finish_file(self, name: str) -> None:
        self.done.append(name)
