"""Files whose names may not be used on this computer: downloaded into one archive beside the others.

Which names these are is for `gpurent.domain.name_policy` to say.
"""

from __future__ import annotations

import os
import stat
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from hashlib import sha256
from io import BytesIO
from itertools import count
from typing import IO
from urllib.parse import unquote_to_bytes

from attrs import define, evolve, frozen

from gpurent.domain.transfer import PullRequest, SkipKind, SkippedFile, TransferLimits, TransferReport
from gpurent.errors import TransferError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error
from gpurent.ports.connection import SshConnection
from gpurent.ports.local_files import LocalFiles, OpenFolder
from gpurent.ports.terminal import Progress
from gpurent.remote.file_reader import (
    parse_digest,
    parse_files,
    parse_piece,
    read_digest_command,
    read_files_command,
    read_piece_command,
)
from gpurent.roles.transfer_errors import check_expansion, small_local_disk_error, summarize_texts

ARCHIVE_NAME = "left-out"
PIECE_BYTES = 3 << 20
# Smaller files are read many at once: as many as fit into a piece and into a command.
SMALL_FILE_BYTES, MAX_FILES_AT_ONCE, MAX_PATH_BYTES = 256 << 10, 300, 16 << 10
# Seconds for a piece on a slow connection, and for the digest of a large file.
PIECE_TIMEOUT, DIGEST_TIMEOUT = 300.0, 600.0


def describe_left_out(report: TransferReport, text: str) -> tuple[str, ...]:
    """Return what a transfer left out, for the user; ``text`` introduces what was not transferred: ``{what}``."""
    archived = [f"{item.name}: {item.reason}" for item in report.skipped if item.kind is SkipKind.ARCHIVED]
    kept = [f"{item.name}: {item.reason}" for item in report.skipped if item.kind is SkipKind.KEPT]
    told = (SkipKind.ARCHIVED, SkipKind.KEPT)
    rest = [f"{item.name}: {item.reason}" for item in report.skipped if item.kind not in told]
    lines = []
    if archived:
        lines.append(
            _("in {archive}, because of their names: {what}").format(
                archive=report.archive, what=summarize_texts(archived)
            )
        )
    if kept:
        lines.append(_("not replaced: {what}").format(what=summarize_texts(kept)))
    if rest:
        lines.append(text.format(what=summarize_texts(rest)))
    return tuple(lines)


async def archive_refused_files(
    files: LocalFiles,
    ssh: SshConnection,
    pull: PullRequest,
    report: TransferReport,
    origin: str,
    progress: Progress,
) -> TransferReport:
    """Download the files that ``report`` skipped for their names, verified, into ``left-out.tar`` in the target folder.

    ``origin`` tells whose archive it is: one of the same origin is replaced, any other file is kept and the archive
    gets a number. Files that changed or vanished stay skipped. Raises `TransferError` if the archive cannot be written,
    or if the files together exceed the limits of ``pull``; `ExpandingDownload` if far less travels than they are here.
    """
    refused = [item for item in report.skipped if item.kind is SkipKind.NAME and item.remote_path]
    if not refused:
        return report
    limits = pull.limits
    if report.total + sum(item.size for item in refused) > limits.max_total_bytes:
        raise TransferError(_("the files whose names cannot be used here are larger than the limit"))
    progress.set_total(report.files + len(refused), report.total + sum(item.size for item in refused))
    below = tuple(part for part in pull.folder.split("/") if part)
    try:
        with (
            closing(files.open_tree(pull.target, below, create=True)) as tree,
            tree.open_folder(()) as folder,
        ):
            # A large file is kept beside the archive until it is verified.
            needed = sum(item.size for item in refused) + max(item.size for item in refused)
            if needed > (free := tree.measure_free_bytes()):
                raise small_local_disk_error(free, needed)
            archive = LeftOutArchive(folder, _find_archive_name(folder, origin), origin)
            archived = await archive.write(RefusedFilesReader(ssh, limits), refused, progress)
    except OSError as error:
        raise TransferError(
            _("{name} cannot be written here: {why}").format(name=ARCHIVE_NAME, why=describe_error(error))
        ) from None
    skipped = tuple(
        evolve(item, kind=SkipKind.ARCHIVED) if item.remote_path in archived else item
        for item in report.skipped
    )
    size = sum(item.size for item in skipped if item.kind is SkipKind.ARCHIVED)
    return evolve(
        report,
        files=report.files + len(archived),
        total=report.total + size,
        sent=report.sent + size,
        skipped=skipped,
        archive=str(pull.target / pull.folder / archive.base) if archived else "",
    )


@define
class RefusedFilesReader:
    """Reads from the machine within ``limits``. ``travelled``: characters of its answers; ``arrived``: bytes in them.

    A file that is empty travels as nearly nothing, so its size alone says nothing.
    """

    ssh: SshConnection
    limits: TransferLimits
    travelled: int = 0
    arrived: int = 0

    async def run(self, command: str, timeout: float = PIECE_TIMEOUT) -> str:
        ran = await self.ssh.run(command, timeout=timeout)
        self.travelled += len(ran.stdout)
        return ran.stdout

    def count_arrival(self, size: int) -> None:
        """Raise `ExpandingDownload` if what arrived is far more than what travelled."""
        self.arrived += size
        check_expansion(self.limits, self.arrived, self.travelled)


@frozen
class LeftOutArchive:
    """The archive ``base`` in ``folder``, written beside it and then renamed; readable by the user alone."""

    folder: OpenFolder
    base: str
    origin: str

    async def write(
        self, reader: RefusedFilesReader, files: Sequence[SkippedFile], progress: Progress
    ) -> frozenset[str]:
        """Return the remote paths of the files that are in the archive; without any, none is written."""
        temporary = f".{self.base}.{os.getpid()}"
        archived: set[str] = set()
        try:
            with suppress(FileNotFoundError):
                self.folder.delete_file(temporary)
            with (
                os.fdopen(self.folder.create_file(temporary, must_be_new=True), "wb") as raw,
                tarfile.open(
                    fileobj=raw,
                    mode="w",
                    format=tarfile.PAX_FORMAT,
                    pax_headers={"comment": self.origin},
                    errors="surrogateescape",
                ) as archive,
            ):
                for batch in _make_batches(files):
                    archived |= await _add_batch(archive, reader, batch, progress)
                for item in files:
                    if item.size >= SMALL_FILE_BYTES and await _add_large_file(
                        archive, reader, item, self.folder, progress
                    ):
                        archived.add(item.remote_path)
            if archived:
                self.folder.move_entry(temporary, self.folder, self.base)
        finally:
            with suppress(OSError):
                self.folder.delete_file(temporary)
        return frozenset(archived)


def _make_batches(files: Sequence[SkippedFile]) -> Iterator[list[SkippedFile]]:
    """Yield the small files in lots that one command can read."""
    batch: list[SkippedFile] = []
    size = length = 0
    for item in files:
        if item.size >= SMALL_FILE_BYTES:
            continue
        size, length = size + item.size, length + len(item.remote_path)
        if batch and (size > PIECE_BYTES or length > MAX_PATH_BYTES or len(batch) == MAX_FILES_AT_ONCE):
            yield batch
            batch, size, length = [], item.size, len(item.remote_path)
        batch.append(item)
    if batch:
        yield batch


async def _add_batch(
    archive: tarfile.TarFile, reader: RefusedFilesReader, batch: Sequence[SkippedFile], progress: Progress
) -> set[str]:
    """Add small files; return the remote paths of those that arrived as they are on the machine."""
    paths = [unquote_to_bytes(item.remote_path) for item in batch]
    sizes = [item.size for item in batch]
    said = await reader.run(read_files_command(list(zip(paths, sizes, strict=True))))
    added = set()
    for item, data in zip(batch, parse_files(said, sizes), strict=True):
        if data is not None:
            reader.count_arrival(len(data))
            _add_member(archive, item, BytesIO(data), progress)
            added.add(item.remote_path)
    return added


async def _add_large_file(
    archive: tarfile.TarFile,
    reader: RefusedFilesReader,
    item: SkippedFile,
    folder: OpenFolder,
    progress: Progress,
) -> bool:
    """Add one file; return whether it arrived as it is on the machine. No more than its listed size is read."""
    path = unquote_to_bytes(item.remote_path)
    with _open_temporary(folder) as content:
        digest = await _read_file(reader, path, item.size, content)
        there = parse_digest(await reader.run(read_digest_command(path), DIGEST_TIMEOUT))
        if digest is None or there is None or there.size != item.size or there.sha256 not in ("", digest):
            return False
        content.seek(0)
        _add_member(archive, item, content, progress)
    return True


def _add_member(archive: tarfile.TarFile, item: SkippedFile, content: IO[bytes], progress: Progress) -> None:
    member = tarfile.TarInfo(os.fsdecode(unquote_to_bytes(item.remote_path).lstrip(b"/")))
    member.size, member.mode, member.mtime = item.size, 0o600, int(time.time())
    archive.addfile(member, content)
    progress.advance(item.size, item.name)
    progress.finish_file(item.name)


async def _read_file(reader: RefusedFilesReader, path: bytes, size: int, content: IO[bytes]) -> str | None:
    """Write the file's first ``size`` bytes to ``content``; return their SHA-256, None if there are not as many."""
    digest, at = sha256(), 0
    while at < size:
        wanted = min(PIECE_BYTES, size - at)
        data = parse_piece(await reader.run(read_piece_command(path, at, wanted)), wanted)
        if not data:
            return None
        reader.count_arrival(len(data))
        content.write(data)
        digest.update(data)
        at += len(data)
    return digest.hexdigest()


def _open_temporary(folder: OpenFolder) -> IO[bytes]:
    """Open a new file without a name."""
    base = f".{ARCHIVE_NAME}.{os.urandom(8).hex()}"
    handle = folder.create_file(base, must_be_new=True)
    folder.delete_file(base)
    return os.fdopen(handle, "w+b")


def _find_archive_name(folder: OpenFolder, origin: str) -> str:
    """Return the first of ``left-out.tar``, ``left-out-2.tar`` … that does not exist or is of the same origin."""
    for number in count(1):
        base = f"{ARCHIVE_NAME}.tar" if number == 1 else f"{ARCHIVE_NAME}-{number}.tar"
        try:
            folder.stat_entry(base)
        except FileNotFoundError:
            return base
        if _read_origin(folder, base) == origin:
            return base
    raise AssertionError("count does not end")


def _read_origin(folder: OpenFolder, base: str) -> str | None:
    """Return the origin of an archive of ours; None for any other file."""
    try:
        with os.fdopen(folder.open_file(base), "rb") as raw:
            if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
                return None
            with tarfile.open(fileobj=raw, mode="r:") as archive:
                return archive.pax_headers.get("comment")
    except (OSError, tarfile.TarError):
        return None
