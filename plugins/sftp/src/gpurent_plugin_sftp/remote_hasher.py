"""SHA-256 of remote files."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from hashlib import sha256

import asyncssh

from gpurent.api import SshConnection
from gpurent_plugin_sftp.batches import MAX_IN_FLIGHT, name_argument, quote_path
from gpurent_plugin_sftp.sftp_client import (
    BLOCK_SIZE,
    open_remote_file,
    read_chunk,
    read_output,
    run_concurrently,
)

# A line of sha256sum. The backslash says that backslashes and line breaks of the name are escaped.
_DIGEST_LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")


class RemoteHasher:
    """SHA-256 of remote files: by the machine's own tool in batches, or else by reading them back.

    ``on_data`` is called whenever something of a file that is read back has arrived.
    """

    def __init__(
        self,
        connection: SshConnection,
        sftp: asyncssh.SFTPClient,
        on_data: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection, self._sftp, self._on_data = connection, sftp, on_data
        self._in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._has_sha256sum: bool | None = None

    async def hash_files(self, files: Sequence[tuple[str, int]], timeout: float = 3600.0) -> list[str]:
        """Return a hex digest for each file of one batch, empty if it cannot be read.

        ``files``: the path and the expected size of each; the digest of a larger one may be empty. ``timeout``: seconds
        for the command.
        """
        if not files:
            return []
        if self._has_sha256sum is None:
            self._has_sha256sum = bool(await read_output(self._connection, "command -v sha256sum"))
        said = ""
        if self._has_sha256sum:
            words = " ".join(quote_path(path) for path, _size in files)
            said = await read_output(self._connection, f"sha256sum {words}", timeout)
        digests = parse_digests(said, [path for path, _size in files])
        missing = [file for file, digest in zip(files, digests, strict=True) if not digest]
        read_back = iter(await run_concurrently(self._hash_by_reading(*file) for file in missing))
        return [digest or next(read_back) for digest in digests]

    async def _hash_by_reading(self, path: str, size: int) -> str:
        digest, at = sha256(), 0
        try:
            async with self._in_flight, open_remote_file(self._sftp, path) as file:
                # However large the file is now, no more is read than tells whether it has the expected size.
                while data := await read_chunk(
                    file, at, min(BLOCK_SIZE, size + 1 - at), lambda _arrived: self._on_data()
                ):
                    digest.update(data)
                    at += len(data)
        except asyncssh.SFTPError as error:
            if isinstance(error, asyncssh.SFTPConnectionLost | asyncssh.SFTPNoConnection):
                raise
            return ""
        return digest.hexdigest() if at <= size else ""


def parse_digests(said: str, paths: Sequence[str]) -> list[str]:
    """Return what sha256sum printed for each path; empty where it printed nothing, as for a file that is gone."""
    lines = map(_DIGEST_LINE.fullmatch, said.split("\n"))
    found = {line[1] + line[3]: line[2] for line in lines if line}
    return [found.get(_format_name(name_argument(path)), "") for path in paths]


def _format_name(name: str) -> str:
    """Return a name as sha256sum prints it, with the mark before the digest in front."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return name if escaped == name else f"\\{escaped}"
