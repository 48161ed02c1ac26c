"""What a pull brings: remote files, large downloads, and what was requested of them."""

from __future__ import annotations

from enum import Enum, auto

from attrs import define, field

from gpurent_plugin_turbo.near.pull.safe_dir import Name, printable_path

UNREADABLE_THERE, CHANGED_THERE = "cannot be read there", "changed or vanished while it was read"


@define(eq=False)
class RemoteFile:
    """``path`` on the machine, ``name`` below the local target as accepted components."""

    path: bytes
    name: Name
    size: int
    mode: int
    time: int
    sparse: bool = False
    tries: int = 0

    @property
    def printable(self) -> str:
        return printable_path(self.name)


class DownloadState(Enum):
    RECEIVING = auto()
    VERIFYING = auto()
    DONE = auto()
    LOST = auto()  # what is still requested of it counts no more


@define(eq=False)
class LargeDownload:
    """A large file that comes in pieces. ``ranges`` are to be requested, ``pending`` answers to come."""

    file: RemoteFile
    partial: bytes
    handle: int
    ranges: list[tuple[int, int]]
    pending: int = 0
    state: DownloadState = DownloadState.RECEIVING

    @property
    def is_lost(self) -> bool:
        return self.state is DownloadState.LOST


@define(eq=False)
class PendingRequest:
    """What was requested on one stream: small files, or something of a large one."""

    size: int
    files: list[RemoteFile] = field(factory=list)
    download: LargeDownload | None = None
    at: int = 0
    is_verification: bool = False
    sent_at: float = 0.0
