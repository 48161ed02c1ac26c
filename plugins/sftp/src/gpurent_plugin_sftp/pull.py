"""Down: the far side is hostile.

Its names are judged, its links not followed, and all writing goes through open folders.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256

import asyncssh

from gpurent.api import Progress, Pull, SshConnection, TransferError, TransferReport, shown
from gpurent_plugin_sftp.patience import Patience
from gpurent_plugin_sftp.remote import Hashes, far_side, refused
from gpurent_plugin_sftp.shelf import PARTS, Shelf, failed
from gpurent_plugin_sftp.walk import GONE, Far, Walk

CHUNK = 4 << 20
DIGEST = 60.0  # seconds for a small file's
DISK = 5_000_000  # bytes a second at which a slow machine makes digests


class Changed(Exception):
    """A remote file is not what it was when it was listed."""


class Puller:
    """One pull onto one shelf."""

    def __init__(
        self,
        link: SshConnection,
        sftp: asyncssh.SFTPClient,
        walk: Walk,
        shelf: Shelf,
        progress: Progress,
        patience: Patience,
    ) -> None:
        self._sftp, self._walk, self._shelf = sftp, walk, shelf
        self._progress, self._patience = progress, patience
        self._hashes = Hashes(link, sftp)
        self.sent = self.resumed = 0
        self.lost: list[str] = []

    async def file(self, far: Far) -> None:
        """One file; that it vanished, cannot be read or does not stand still is noted, and others come."""
        text = "/".join(far.name)
        handle = self._shelf.folder(far.name[:-1])
        try:
            if self._shelf.same(far, handle):
                self.resumed += far.size
                self._progress.advance(far.size, text)
            else:
                await self._bring(far, handle)
        except Changed as why:
            self.lost.append(f"{shown(text)} {why}")
            return
        except asyncssh.SFTPError as error:
            raise refused(shown(text), error) from None
        finally:
            os.close(handle)
        self._progress.file_done(text)

    async def _bring(self, far: Far, folder: int) -> None:
        parts = self._shelf.folder((PARTS,))
        try:
            if not await self._arrived(far, parts, whole=False):
                now = await self._walk.again(far)
                if now is None or not await self._arrived(now, parts, whole=True):
                    raise Changed("changed while it was read")
                far = now
            self._shelf.settle(far, parts, folder)
        except (*GONE, asyncssh.SFTPPermissionDenied) as error:
            gone = isinstance(error, GONE)
            raise Changed("vanished" if gone else "cannot be read there") from None
        except ConnectionError:
            raise  # the line's, not the disk's
        except OSError as error:
            raise failed("/".join(far.name), error) from None
        finally:
            os.close(parts)

    async def _arrived(self, far: Far, parts: int, *, whole: bool) -> bool:
        """Whether the partial is, byte for byte, what lies there now; else it is gone."""
        mine = await self._fetch(far, parts, whole)
        self._patience.grant(far.size / DISK)
        (theirs,) = await self._hashes.of([far.path], timeout=DIGEST + far.size / DISK)
        self._patience.heard()
        size = os.stat(far.part, dir_fd=parts, follow_symlinks=False).st_size
        if mine == theirs and size == far.size:
            return True
        os.unlink(far.part, dir_fd=parts)
        return False

    async def _fetch(self, far: Far, parts: int, whole: bool) -> str:
        """The remote file into its partial, going on from what is there; the digest of what lies here then.

        Empty where the file is another one by now.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_TRUNC if whole else 0)
        with os.fdopen(os.open(far.part, flags, 0o600, dir_fd=parts), "r+b") as local:
            digest = sha256()
            while data := local.read(CHUNK):
                digest.update(data)
            at = local.tell()
            self._patience.heard()  # a long look at our own disk is no silence of the other side
            self.resumed += at
            self._progress.advance(at, "/".join(far.name))
            async with self._sftp.open(far.path, "rb", encoding=None) as file:
                # Whatever there is by now, no more is taken than was listed.
                while data := await self._read(file, at, min(CHUNK, max(0, far.size - at))):
                    local.write(data)
                    digest.update(data)
                    at += len(data)
                    self.sent += len(data)
                    self._progress.advance(len(data), "/".join(far.name))
                still = far.still(await file.stat())
                self._patience.heard()
            local.flush()
            os.fsync(local.fileno())
        return digest.hexdigest() if still else ""

    async def _read(self, file: asyncssh.SFTPClientFile, at: int, size: int) -> bytes:
        """Up to ``size`` bytes; fewer at the end of the file."""
        data, come = bytearray(size), 0
        async for where, piece in await file.read_parallel(size, at):
            self._patience.heard()
            come += len(piece)
            if come > size or where < at or where + len(piece) > at + size:
                raise TransferError("the machine sends more than was asked for")
            data[where - at : where - at + len(piece)] = piece
        return bytes(data[:come])


async def pull(
    link: SshConnection, cargo: Pull, progress: Progress, seconds: Callable[[], float]
) -> TransferReport:
    """Bring ``cargo`` home; what could not be brought is told at the end, after the others came."""
    patience = Patience()
    return await patience.over(_pull(link, cargo, progress, seconds, patience))


async def _pull(
    link: SshConnection, cargo: Pull, progress: Progress, seconds: Callable[[], float], patience: Patience
) -> TransferReport:
    async with far_side(link) as sftp:
        walk = Walk(sftp, cargo, patience)
        for source in cargo.sources:
            await walk.source(source)
        found = walk.found
        progress.total(len(found.files), found.size)
        with Shelf(cargo.target) as shelf:
            puller = Puller(link, sftp, walk, shelf, progress, patience)
            for name in found.folders:
                os.close(shelf.folder(name))
            for far in found.files:
                await puller.file(far)
            # Last, when nothing is written any more that could go through them.
            for name, target in await walk.links():
                if not shelf.link(name, target):
                    found.skip("/".join(name), "is a link, and a folder has its name here")
    _tell_lost(puller.lost, found.missing)
    return TransferReport(
        files=len(found.files),
        total=found.size,
        sent=puller.sent,
        resumed=puller.resumed,
        seconds=seconds(),
        skipped=tuple(found.skipped),
    )


def _tell_lost(lost: list[str], missing: list[str]) -> None:
    if lost:
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        raise TransferError("; ".join(lost[:5]) + more, hint="Everything else has come home. Pull again.")
    if missing:
        names = ", ".join(shown(name) for name in missing)
        raise TransferError(f"not on the machine: {names}", hint="What was there has come home.")
