"""`tar` archives: files of a push are read whole, each in one state; archives of a pull are size-limited streams."""

from __future__ import annotations

import os
import stat
import tarfile
import zlib
from collections.abc import Iterator

from attrs import define, field

from gpurent.api import FileProblem, describe_unreadable
from gpurent_plugin_turbo.near.connection.rate_control import MIB
from gpurent_plugin_turbo.near.errors import decode_name
from gpurent_plugin_turbo.near.push.scan import SourceEntry
from gpurent_plugin_turbo.near.push.unit_builder import read_unchanged_file
from gpurent_plugin_turbo.posix.listing import NS_PER_SECOND, make_touch_times
from gpurent_plugin_turbo.posix.machine_tools import MachineTools, compute_checksum
from gpurent_plugin_turbo.posix.scripts import (
    MAX_NAMES_BYTES,
    batch_words,
    quote_folder,
    quote_word,
    split_name,
)
from gpurent_plugin_turbo.posix.shell import ScriptOutput
from gpurent_plugin_turbo.shared.wire import ProtocolViolation, get_time

MAX_BATCH_BYTES = 8 * MIB
MAX_BATCH_FILES = 2000
MAX_TAR_NAME = 90  # bytes of a name that the oldest tar format holds
MAX_TAR_TIME = 0o77777777777
MAX_GROWTH = 16 << 20  # bytes that files may have grown by meanwhile; more is an attack
HEADER_BYTES = 4096  # bytes of headers and padding per file
RECORD_SIZE = 10240
PREPARE_SCRIPT = b'trap \'rm -rf "$S"\' EXIT; trap "exit 1" HUP INT TERM PIPE\nmkdir -p "$S" || fail\n'


@define
class TarBatch:
    """Files grouped by their target folder."""

    entries_by_folder: dict[bytes, list[SourceEntry]] = field(factory=dict)
    contents: dict[bytes, tuple[bytes, os.stat_result]] = field(factory=dict)
    size: int = 0
    names_bytes: int = 0

    @property
    def is_full(self) -> bool:
        many = len(self.contents) >= MAX_BATCH_FILES or self.names_bytes >= MAX_NAMES_BYTES
        return many or self.size >= MAX_BATCH_BYTES

    def add_file(self, entry: SourceEntry) -> str:
        """Add the file in its current state; return why it cannot be read, or an empty string."""
        try:
            found = read_unchanged_file(entry, tries=3, most=MAX_BATCH_BYTES)
        except OSError as error:
            return describe_unreadable(error)
        if found is None:
            return FileProblem.CHANGED.text
        self.contents[entry.name] = found
        self.entries_by_folder.setdefault(split_name(entry.name)[0], []).append(entry)
        self.size += len(found[0])
        self.names_bytes += len(entry.name) + 16
        return ""

    def iter_entries(self) -> Iterator[tuple[int, int, SourceEntry]]:
        """Yield each entry with the number of its folder and its number within that folder."""
        for number, entries in enumerate(self.entries_by_folder.values()):
            for index, entry in enumerate(entries):
                yield number, index, entry

    def build_archive(self, gnu: bool) -> bytes:
        archive = bytearray()
        for number, index, entry in self.iter_entries():
            data, status = self.contents[entry.name]
            archive += _make_header(_archive_path(number, index, entry), status, gnu)
            archive += data + bytes(-len(data) % 512)
        return bytes(archive + bytes(1024))

    def build_script(self, size: int, compressed: bool, tools: MachineTools) -> bytes:
        """Return a script that unpacks the archive in its own folder, verifies the files and moves them into place."""
        contents = (self.contents[entry.name][0] for _, _, entry in self.iter_entries())
        expected = compute_checksum(tools.new_checksum(), *contents)
        unpack = b"gzip -dc | " if compressed else b""
        places = [_quote_staging_path(_archive_path(*each)) for each in self.iter_entries()]
        lines = [
            PREPARE_SCRIPT,
            b'head -c %d | %star -xpof - -C "$S" || fail\n' % (size, unpack),
            b'[ "$(cat %s | sum)" = %s ] || { say bad; end; }\n' % (b" ".join(places), expected),
        ]
        for number, index, entry in self.iter_entries():
            lines += self._make_fix_commands(number, index, entry)
        lines += self._make_mode_commands(tools)
        for number, (name, entries) in enumerate(self.entries_by_folder.items()):
            words = b" ".join(_quote_staging_path(_staging_path(number, entry)) for entry in entries)
            lines.append(b"move_into %d %s %s\n" % (number, quote_folder(name), words))
        return b"".join(lines)

    def _make_fix_commands(self, number: int, index: int, entry: SourceEntry) -> Iterator[bytes]:
        """Yield commands for what the archive cannot hold: a long name, an odd time."""
        packed, final = _archive_path(number, index, entry), _staging_path(number, entry)
        status = self.contents[entry.name][1]
        stamp = get_time(status)
        if packed != final:
            words = (number, _quote_staging_path(packed), _quote_staging_path(final))
            yield b'mkdir -p "$S"/%d && mv -f %s %s\n' % words
        if not 0 <= stamp <= MAX_TAR_TIME * NS_PER_SECOND:
            yield b"set_time %s %s || fail\n" % (_quote_staging_path(final), make_touch_times(stamp))

    def _make_mode_commands(self, tools: MachineTools) -> Iterator[bytes]:
        """Yield commands for modes without read permission, and for all where tar may have taken the umask off."""
        paths_by_mode: dict[int, list[bytes]] = {}
        for number, _index, entry in self.iter_entries():
            mode = stat.S_IMODE(self.contents[entry.name][1].st_mode)
            if not (mode & 0o400 and b"gnu" in tools.tool_names):
                paths_by_mode.setdefault(mode, []).append(_quote_staging_path(_staging_path(number, entry)))
        for mode, paths in paths_by_mode.items():
            for words in batch_words(paths):
                yield b"chmod %o %s || fail\n" % (mode, b" ".join(words))


def _quote_staging_path(path: bytes) -> bytes:
    return b'"$S"/' + quote_word(path)


def _staging_path(number: int, entry: SourceEntry) -> bytes:
    return b"%d/%s" % (number, split_name(entry.name)[1])


def _archive_path(number: int, index: int, entry: SourceEntry) -> bytes:
    if len(split_name(entry.name)[1]) > MAX_TAR_NAME:
        return b"%d.long/%d" % (number, index)
    return _staging_path(number, entry)


def _make_header(name: bytes, status: os.stat_result, gnu: bool) -> bytes:
    info = tarfile.TarInfo(decode_name(name))
    info.size, info.mode = status.st_size, stat.S_IMODE(status.st_mode) | 0o400
    info.mtime = min(max(get_time(status) // NS_PER_SECOND, 0), MAX_TAR_TIME)
    header = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    return _make_time_record(get_time(status)) + header if gnu and get_time(status) > 0 else header


def _make_time_record(time: int) -> bytes:
    """Return a pax record with the mtime to the nanosecond, to go before the header."""
    value = b" mtime=%d.%09d\n" % (time // NS_PER_SECOND, time % NS_PER_SECOND)
    size = len(value) + 2
    if len(b"%d" % size) > 2:
        size += 1
    record = b"%d%s" % (size, value)
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict") + record + bytes(-len(record) % 512)


class TooMuchData(ProtocolViolation):
    """More data arrived than was requested."""


class LimitedStream:
    """The data in a script's output, decompressed if necessary. ``most``: bytes that are accepted."""

    def __init__(self, output: ScriptOutput, compressed: bool, most: int) -> None:
        self._output, self._bytes_left = output, most
        self._decompressor = zlib.decompressobj(31) if compressed else None
        self._rest = b""  # compressed data not yet read
        self._unread = b""

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes of what has arrived; empty at the end."""
        if not self._unread:
            self._unread = self._read_some()
            self._bytes_left -= len(self._unread)
            if self._bytes_left < 0:
                raise TooMuchData("more data than requested")
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def read_trailing(self) -> bytes:
        """Return what followed the compressed data, or the rest of uncompressed data."""
        if self._decompressor is None:
            return self._unread
        return self._decompressor.unused_data + self._rest

    def _read_some(self) -> bytes:
        if self._decompressor is None:
            return self._output.read_some()
        while not self._decompressor.eof:
            data = self._rest or self._output.read_some()
            self._rest = b""
            if not data:
                return b""
            made = self._decompressor.decompress(data, 1 << 20)
            self._rest = self._decompressor.unconsumed_tail
            if made:
                return made
        return b""


def read_members(stream: LimitedStream, longest: int) -> Iterator[tuple[bytes, int, bytes | None]]:
    """Yield name, size and content of each file in an archive; the content is None if longer than ``longest``.

    Nothing is unpacked to disk. A hard link has the content of the file that it names, if that came earlier.
    """
    seen: dict[str, bytes] = {}
    with tarfile.open(
        fileobj=stream,  # type: ignore[call-overload]
        mode="r|",
        encoding="utf-8",
        errors="surrogateescape",
        bufsize=RECORD_SIZE,
    ) as archive:
        for member in archive:
            archive.members = []  # else tarfile keeps them all
            data: bytes | None = None
            if member.islnk():
                data = seen.get(member.linkname)
            elif member.isreg() and 0 <= member.size <= longest:
                file = archive.extractfile(member)
                data = file.read(member.size) if file is not None else None
                if data is not None and len(data) == member.size:
                    seen[member.name] = data
            size = len(data) if data is not None else member.size
            yield member.name.encode("utf-8", "surrogateescape"), size, data
