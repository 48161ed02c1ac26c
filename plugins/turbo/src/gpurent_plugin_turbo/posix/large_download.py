"""Fetches a large file from a machine without Python, from where its partial ends."""

from __future__ import annotations

import os

from gpurent.api import Progress, SafeDir
from gpurent_plugin_turbo.near.connection.rate_control import MIB
from gpurent_plugin_turbo.near.pull.name_policy import RemoteFile
from gpurent_plugin_turbo.posix.listing import ListedEntry, parse_states
from gpurent_plugin_turbo.posix.machine_tools import Checksum, MachineTools, add_file_data
from gpurent_plugin_turbo.posix.scripts import END_MARK, LIST_FUNCTIONS, quote_path
from gpurent_plugin_turbo.posix.shell import PosixShell, ScriptAnswer
from gpurent_plugin_turbo.posix.tar_archives import MAX_GROWTH, LimitedStream
from gpurent_plugin_turbo.shared.files import make_partial_name
from gpurent_plugin_turbo.shared.wire import FILE

RESUME_BLOCK_SIZE = 1 << 16  # a large file is resumed at a multiple of this
MAX_COMPRESSED_SAMPLE_BYTES = 50_000  # of 65536 bytes: what does not shrink below this is sent uncompressed
MAX_TAIL_BYTES = 1 << 14  # bytes of output after the data


def get_compression_limit(tools: MachineTools, shell: PosixShell) -> bytes:
    """Return the script's limit for a compressed sample; empty if the connection is too fast for compression."""
    return b"%d" % MAX_COMPRESSED_SAMPLE_BYTES if tools.should_compress(shell.rate) else b""


def is_unchanged(file: RemoteFile, now: ListedEntry | None) -> bool:
    """Return whether the file is still as it was listed."""
    return now is not None and (now.kind, now.size, now.time) == (FILE, file.size, file.time)


class LargeFileFetcher:
    """Fetches one file after the other into ``target``; ``enter_script`` changes to the folder of their paths.

    ``resumed``: bytes that were here already.
    """

    def __init__(
        self,
        shell: PosixShell,
        progress: Progress,
        enter_script: bytes,
        tools: MachineTools,
        target: SafeDir,
    ) -> None:
        self._shell, self._progress, self._enter_script = shell, progress, enter_script
        self._tools, self._target = tools, target
        self.resumed = 0

    def fetch_file(self, file: RemoteFile) -> bool:
        """Fetch the file, and return whether it arrived in the state that was listed."""
        partial = make_partial_name(b"/".join(file.name), file.size, file.time)
        handle, there = self._target.open_growing_partial(file.name, partial)
        try:
            checksum, at = self._verify_prefix(file, handle, there)
            self._target.resize_partial(file.name, handle, at)
            if self._fetch_rest(file, handle, checksum, at):
                self._target.commit_partial(file.name, partial, handle, file.mode, file.time)
                self._progress.finish_file(file.printable_name)
                return True
            self._target.delete_partial(partial)
            return False
        finally:
            os.close(handle)

    def _verify_prefix(self, file: RemoteFile, handle: int, partial_size: int) -> tuple[Checksum, int]:
        """Return the checksum and the length of the local data that matches the remote file."""
        checksum, at = (
            self._tools.new_checksum(),
            min(partial_size, file.size) // RESUME_BLOCK_SIZE * RESUME_BLOCK_SIZE,
        )
        if not at or not add_file_data(checksum, handle, at):
            return self._tools.new_checksum(), 0
        script = b'say sum "$(head -c %d -- %s | sum)"\n' % (at, quote_path(file.path))
        answer = self._shell.run_script(LIST_FUNCTIONS + self._enter_script + script)
        if answer.find_first(b"sum") != checksum.to_tool_output():
            return self._tools.new_checksum(), 0
        self.resumed += at
        self._progress.advance(at, file.printable_name)
        return checksum, at

    def _fetch_rest(self, file: RemoteFile, handle: int, checksum: Checksum, at: int) -> bool:
        """Return whether the file arrived as it is there, in one state that matches the listing."""
        name, size = quote_path(file.path), file.size - at
        script = b"%s%sZ=%s; " % (
            LIST_FUNCTIONS,
            self._enter_script,
            get_compression_limit(self._tools, self._shell),
        )
        script += b"choose_compression %s\nsay data\n" % name
        script += b'give() { dd if=%s bs=%d skip=%d 2>/dev/null | head -c %d; }\n' % (
            name, RESUME_BLOCK_SIZE, at // RESUME_BLOCK_SIZE, size
        )  # fmt: skip
        script += b'if [ "$how" = gzip ]; then give | gzip -1; else give; fi\n'
        script += b"say now\nprint_states %s\n" % name
        script += b'say sum "$(head -c %d -- %s | sum)"\n' % (file.size, name)
        with self._shell.open_script(script) as output:
            compressed = b"gzip" in ScriptAnswer.parse(output.read_until(b"data")).lines
            stream = LimitedStream(output, compressed, size + MAX_GROWTH)
            while at < file.size and (data := stream.read(min(file.size - at, MIB))):
                self._target.count_arrival(len(data), self._shell.bytes_read + output.bytes_read)
                self._write_data(file, handle, data, at, checksum)
                at += len(data)
            tail = (stream.read_trailing() + output.read_rest())[-MAX_TAIL_BYTES:]
        answer = ScriptAnswer.parse(tail)
        if (
            at != file.size
            or answer.find_first(b"sum") != checksum.to_tool_output()
            or not tail.endswith(END_MARK)
        ):
            return False
        return is_unchanged(file, parse_states(answer.text).get(file.path))

    def _write_data(self, file: RemoteFile, handle: int, data: bytes, at: int, checksum: Checksum) -> None:
        checksum.update(data)
        if data.count(0) == len(data):
            self._target.resize_partial(file.name, handle, at + len(data))
        else:
            self._target.write_partial(file.name, handle, memoryview(data), at)
        self._progress.advance(len(data), file.printable_name)
