"""Small files that travel as one archive of `tar`: read whole, so that what is sent is one state of each."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Callable, Iterator

from attrs import define, field

from gpurent_plugin_turbo.near.connection.rate_control import MIB
from gpurent_plugin_turbo.near.errors import decode_name
from gpurent_plugin_turbo.near.push.pack_buffer import read_unchanged
from gpurent_plugin_turbo.near.push.scan import SourceEntry
from gpurent_plugin_turbo.near.push.unit_builder import MAX_RATIO
from gpurent_plugin_turbo.posix.checksums import checksum_data
from gpurent_plugin_turbo.posix.listing import SECOND
from gpurent_plugin_turbo.posix.machine_tools import MachineTools
from gpurent_plugin_turbo.posix.scripts import MAX_NAMES_BYTES, quote_folder, quote_word, split_name

MAX_BATCH_BYTES = 8 * MIB
MAX_BATCH_FILES = 2000
MAX_TAR_NAME = 90  # bytes of a name that the oldest archive holds
MAX_TAR_TIME = 0o77777777777
PREPARE = b'trap \'rm -rf "$S"\' EXIT; trap "exit 1" HUP INT TERM PIPE\nmkdir -p "$S" || fail\n'


@define
class TarBatch:
    """Files by the folder that they go to."""

    folders: dict[bytes, list[SourceEntry]] = field(factory=dict)
    contents: dict[bytes, tuple[bytes, os.stat_result]] = field(factory=dict)
    size: int = 0
    names_length: int = 0

    @property
    def is_full(self) -> bool:
        many = len(self.contents) >= MAX_BATCH_FILES or self.names_length >= MAX_NAMES_BYTES
        return many or self.size >= MAX_BATCH_BYTES

    def add_file(self, entry: SourceEntry, report_failure: Callable[[bytes, str], None]) -> None:
        """Take it as it is now; what cannot be read is reported."""
        try:
            found = read_unchanged(entry, tries=3, most=MAX_BATCH_BYTES)
        except OSError as error:
            report_failure(entry.name, f"vanished while it was read: {error.strerror}")
            return
        if found is None:
            report_failure(entry.name, "changed while it was read")
            return
        self.contents[entry.name] = found
        self.folders.setdefault(split_name(entry.name)[0], []).append(entry)
        self.size += len(found[0])
        self.names_length += len(entry.name) + 16

    def iter_entries(self) -> Iterator[tuple[int, int, SourceEntry]]:
        """Each with the number of its folder and its own in there."""
        for number, entries in enumerate(self.folders.values()):
            for index, entry in enumerate(entries):
                yield number, index, entry

    def build_archive(self, gnu: bool) -> bytes:
        archive = bytearray()
        for number, index, entry in self.iter_entries():
            data, status = self.contents[entry.name]
            archive += _make_header(_archive_place(number, index, entry), status, gnu)
            archive += data + bytes(-len(data) % 512)
        return bytes(archive + bytes(1024))

    def build_script(self, size: int, compressed: bool, tools: MachineTools) -> bytes:
        """Unpacks it in the script's own folder, verifies what is there then, moves it to its places."""
        contents = (self.contents[entry.name][0] for _, _, entry in self.iter_entries())
        expected = checksum_data(tools.new_checksum(), *contents)
        unpack = b"gzip -dc | " if compressed else b""
        places = [_quote_place(_archive_place(*each)) for each in self.iter_entries()]
        lines = [
            PREPARE,
            b'head -c %d | %star -xpof - -C "$S" || fail\n' % (size, unpack),
            b'[ "$(cat %s | sum)" = %s ] || { say bad; end; }\n' % (b" ".join(places), expected),
        ]
        for number, index, entry in self.iter_entries():
            lines += self._fix_file(number, index, entry)
        for number, (name, entries) in enumerate(self.folders.items()):
            words = b" ".join(_quote_place(_final_place(number, entry)) for entry in entries)
            lines.append(b"move_into %d %s %s\n" % (number, quote_folder(name), words))
        return b"".join(lines)

    def _fix_file(self, number: int, index: int, entry: SourceEntry) -> Iterator[bytes]:
        """What the archive could not hold: a long name, a mode with which nobody could have read it."""
        packed, final = _archive_place(number, index, entry), _final_place(number, entry)
        mode = stat.S_IMODE(self.contents[entry.name][1].st_mode)
        if packed != final:
            words = (number, _quote_place(packed), _quote_place(final))
            yield b'mkdir -p "$S"/%d && mv -f %s %s\n' % words
        if not mode & 0o400:
            yield b"chmod %o %s\n" % (mode, _quote_place(final))


def compress_archive(archive: bytes) -> bytes | None:
    """None: it is not worth it."""
    sample = archive[: 64 << 10]
    if len(gzip.compress(sample, 1)) > len(sample) * MAX_RATIO:
        return None
    return gzip.compress(archive, 1)


def _quote_place(place: bytes) -> bytes:
    """A place in the script's own folder."""
    return b'"$S"/' + quote_word(place)


def _final_place(number: int, entry: SourceEntry) -> bytes:
    return b"%d/%s" % (number, split_name(entry.name)[1])


def _archive_place(number: int, index: int, entry: SourceEntry) -> bytes:
    """Its name in the archive."""
    if len(split_name(entry.name)[1]) > MAX_TAR_NAME:
        return b"%d.long/%d" % (number, index)
    return _final_place(number, entry)


def _make_header(name: bytes, status: os.stat_result, gnu: bool) -> bytes:
    info = tarfile.TarInfo(decode_name(name))
    info.size, info.mode = status.st_size, stat.S_IMODE(status.st_mode) | 0o400
    info.mtime = min(max(status.st_mtime_ns // SECOND, 0), MAX_TAR_TIME)
    header = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    return _make_time_record(status.st_mtime_ns) + header if gnu and status.st_mtime_ns > 0 else header


def _make_time_record(time: int) -> bytes:
    """A record of the time to the nanosecond, before the header."""
    value = b" mtime=%d.%09d\n" % (time // SECOND, time % SECOND)
    size = len(value) + 2
    if len(b"%d" % size) > 2:
        size += 1
    record = b"%d%s" % (size, value)
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict") + record + bytes(-len(record) % 512)
