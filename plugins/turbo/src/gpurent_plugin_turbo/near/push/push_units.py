"""Units of transfer: packs of small files and pieces of large ones."""

from __future__ import annotations

import os
import struct
import sys

from gpurent import api
from gpurent_plugin_turbo.near.push.scan import SourceEntry
from gpurent_plugin_turbo.shared.codec import RAW
from gpurent_plugin_turbo.shared.files import digest_blocks, digest_file
from gpurent_plugin_turbo.shared.source_files import compare_blocks, list_extents
from gpurent_plugin_turbo.shared.wire import COMMIT, PUSHED_PIECE, UNIT_HEADER, FrameKind, FrameStream


class FilePack:
    """Small files that are sent as one unit."""

    def __init__(self, entries: list[SourceEntry]) -> None:
        self.entries, self.tries = entries, 0
        self.size = sum(entry.size for entry in entries)

    @property
    def file_name(self) -> bytes:
        return self.entries[0].name


class LargeUpload:
    """A large file being sent.

    ``ranges`` are still to be cut into pieces; ``unsent`` counts the pieces that are not on a stream yet.
    """

    def __init__(self, number: int, entry: SourceEntry, is_retry: bool = False) -> None:
        self.number, self.entry, self.is_retry = number, entry, is_retry
        self.handle = -1
        self.ranges: list[tuple[int, int]] = []
        self.unsent = self.unacked = 0
        self.is_planned = False
        self.problem = ""

    def plan_ranges(self, theirs: bytes | None, digest_kind: int = 0) -> int:
        """Plan what to send: blocks that differ, or data without holes. Return the bytes already there."""
        try:
            self.handle = self.entry.file.open_file()
            self.problem = self.entry.describe_change(self.handle)
        except OSError as error:
            self.problem = api.describe_unreadable(error)
        size, kept = self.entry.size, 0
        if self.handle >= 0 and theirs:
            self.ranges, kept = compare_blocks(digest_blocks(self.handle, size, digest_kind), theirs, size)
        elif self.handle >= 0 and not self.problem:
            self.ranges = list_extents(self.handle, size, sys.maxsize)
        self.ranges.reverse()
        self.is_planned = True
        return kept

    def cut_piece(self, size: int) -> FilePiece | None:
        """Return the next piece of at most ``size`` bytes; None if all are cut."""
        if self.problem:
            self.ranges.clear()
        if not self.ranges:
            return None
        at, length = self.ranges.pop()
        if length > size:
            self.ranges.append((at + size, length - size))
            length = size
        self.unsent += 1
        return FilePiece(self, at, length)

    def is_complete(self) -> bool:
        """Return whether every piece was sent on the first stream or acknowledged on another."""
        return self.is_planned and not self.ranges and not self.unsent and not self.unacked

    def describe_change(self) -> str:
        """Return why the data read does not belong to one version of the file; empty if it does."""
        self.problem = self.problem or self.entry.describe_change(self.handle)
        return self.problem

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    def make_retry(self, number: int) -> LargeUpload | None:
        """Return an upload of the file in its current state; None if this was the retry or it is no longer a file."""
        entry = None if self.is_retry else self.entry.refresh()
        return None if entry is None else LargeUpload(number, entry, is_retry=True)

    def make_commit_head(self, full_verify: bool) -> bytes:
        entry = self.entry
        expected = digest_file(self.handle) if full_verify else b""
        head = COMMIT.pack(entry.partial_name, entry.mode, entry.size, entry.time, 1 if full_verify else 0)
        return struct.pack(">I", self.number) + head + expected


class FilePiece:
    """A piece of a large file."""

    def __init__(self, upload: LargeUpload, at: int, size: int) -> None:
        self.upload, self.offset, self.size, self.tries = upload, at, size, 0

    @property
    def file_name(self) -> bytes:
        return self.upload.entry.name


class PushUnit:
    """A unit ready to send. ``body`` is None if the kernel copies the piece from its file to the connection."""

    def __init__(
        self,
        task: FilePack | FilePiece,
        digest_kind: int,
        digest: bytes,
        raw_size: int,
        body: bytes | memoryview | None = None,
    ) -> None:
        self.task, self.digest_kind, self.digest = task, digest_kind, digest
        self.raw_size, self.body = raw_size, body
        self.codec_kind, self.wire_size = RAW, raw_size  # until it is compressed
        self.number = self.level = 0
        self.is_on_first = False
        self.raw_data: bytes | memoryview | None = None  # kept while it may be compressed harder
        self.buffer: bytearray | None = None  # holds the memory of `body` or `raw_data`
        self.sent_at = 0.0

    @property
    def frame_kind(self) -> int:
        return FrameKind.PACK if isinstance(self.task, FilePack) else FrameKind.PIECE

    @property
    def frame_head(self) -> bytes:
        head = UNIT_HEADER.pack(self.number, self.codec_kind, self.digest_kind, self.raw_size, self.digest)
        if isinstance(self.task, FilePiece):
            upload = self.task.upload
            head += PUSHED_PIECE.pack(upload.entry.partial_name, self.task.offset, upload.entry.size)
        return head

    def send(self, frames: FrameStream) -> None:
        """Send the unit and drop its body."""
        if self.body is None and isinstance(self.task, FilePiece):
            frames.send_header(self.frame_kind, self.frame_head, self.task.size)
            frames.send_file(self.task.upload.handle, self.task.offset, self.task.size)
            frames.bytes_sent += self.task.size
        else:
            frames.send_frame(self.frame_kind, self.frame_head, self.body or b"")
        self.body = b""

    def mark_sent(self, first: bool) -> None:
        self.is_on_first = first
        if isinstance(self.task, FilePiece):
            self.task.upload.unsent -= 1
            self.task.upload.unacked += not first

    def mark_acked(self) -> None:
        if isinstance(self.task, FilePiece):
            self.task.upload.unacked -= not self.is_on_first

    def mark_unsent(self) -> None:
        """Note that the unit must be sent again."""
        if isinstance(self.task, FilePiece):
            self.task.upload.unacked -= not self.is_on_first
            self.task.upload.unsent += 1
