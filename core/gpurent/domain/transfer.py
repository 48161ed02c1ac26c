"""Transfer requests and their reports."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from attrs import field, frozen

from gpurent.domain.filenames import NameProblem
from gpurent.domain.local_files import FileStates, KnownFiles
from gpurent.domain.machine_folders import check_machine_folder
from gpurent.domain.name_policy import LocalNames
from gpurent.terminal_text import ForeignText


@frozen(kw_only=True)
class TransferLimits:
    """Limits beyond which a transfer is refused as hostile or mistaken.

    In a download, ``max_files`` also limits, separately, the number of folders and links. One that has more than
    ``free_expansion`` bytes, holes included, may have at most ``max_expansion`` times what travelled; 0: any number.
    """

    max_files: int = 1_000_000
    max_total_bytes: int = 1 << 44
    max_depth: int = 64
    max_name_bytes: int = 255
    max_expansion: int = 200
    free_expansion: int = 1 << 30


@frozen(kw_only=True)
class PushRequest:
    """Upload ``sources`` (files or folders) into the remote folder ``target`` (below the home folder, or absolute).

    With ``contents_only`` and a single folder as source, the folder's *contents* go into ``target`` (that is how
    `gpurent run` uploads the project folder); otherwise each source keeps its name. A source that is a link is not
    followed. ``root``: a folder above all sources, on the way from which no link is followed either; None: the way to
    each source is the user's own word.

    ``use_ignore_files``: honour ``.gpurentignore`` and ``.gitignore``. ``bandwidth_limit``: bytes per second on the
    connection, 0 for none. ``verify``: ``fast`` verifies what is transferred; ``full`` also reads existing remote files
    and does not take equal sizes and times as equal contents.

    ``delete``: afterwards delete remote files below the uploaded folders that do not exist locally; files that the
    ignore files exclude are kept. ``dry_run``: transfer and delete nothing; the report lists what ``delete`` would
    delete.

    Below the sources, files that may hold credentials (`gpurent.domain.upload_rules`) are left out, and so is what is
    in ``own_folders``: the real paths of gpurent's own folders, and of files that are withheld. ``states`` takes note
    of the local files as they were when they were listed.
    """

    sources: tuple[Path, ...]
    target: str = field(validator=check_machine_folder)
    contents_only: bool = False
    root: Path | None = None
    use_ignore_files: bool = True
    bandwidth_limit: int = 0
    verify: str = "fast"
    delete: bool = False
    dry_run: bool = False
    limits: TransferLimits = TransferLimits()
    own_folders: tuple[str, ...] = ()
    states: FileStates | None = None


@frozen(kw_only=True)
class PullRequest:
    """Download the remote ``sources`` (absolute or relative to the home folder) into the local folder ``target``.

    ``folder``: the folder below ``target`` to which everything goes, with slashes; no link on the way to it is
    followed. A source that is a symbolic link to a folder is followed if it ends in a slash. ``names`` decides which
    names may be used in the target, those of the sources included. ``known`` tells which local files may be replaced;
    what arrives in place of another one goes beside it. None: all.
    """

    sources: tuple[str, ...]
    target: Path
    folder: str = ""
    bandwidth_limit: int = 0
    verify: str = "fast"
    limits: TransferLimits = TransferLimits()
    names: LocalNames = field(factory=LocalNames)
    known: KnownFiles | None = None


class SkipKind(Enum):
    """Why something was not transferred as it is.

    LINK and SPECIAL (a pipe, a socket, a device) hold no data of their own. NAME: a regular file whose name may not be
    used at the target. UNREADABLE: a file or folder whose contents could not be listed or read. ARCHIVED: a NAME whose
    contents are in the report's archive. KEPT: a file whose local version was changed here, so that
    it was not replaced. OTHER: a listing that was refused as invalid.
    """

    LINK = "link"
    SPECIAL = "special"
    NAME = "name"
    UNREADABLE = "unreadable"
    ARCHIVED = "archived"
    KEPT = "kept"
    OTHER = "other"


@frozen(kw_only=True)
class SkippedFile:
    """A file, folder or link that was not transferred, and the reason in words.

    In a download, a NAME also has its ``problem``, its ``size`` in bytes as listed and its ``remote_path``: the path on
    the machine, percent-encoded, because it may hold any byte. ``beside``: the name under which the machine's
    version of a KEPT is here; empty if it is the one that was transferred before.
    """

    name: str
    reason: ForeignText = field(converter=ForeignText)
    kind: SkipKind = SkipKind.OTHER
    remote_path: str = ""
    size: int = 0
    problem: NameProblem | None = None
    beside: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether it holds data that is not at the target."""
        return self.kind in (SkipKind.NAME, SkipKind.UNREADABLE)


@frozen(kw_only=True)
class UploadPreview:
    """What an upload would transfer: ``files`` of ``total`` bytes. Names are those on the machine, printable.

    ``largest``: the largest files, with their bytes. ``secrets``: files that often hold secrets and are uploaded
    nevertheless. ``ignored``: the first of the ``ignored_count`` files and folders that the ignore files exclude.
    ``skipped``: what else is left out, and why.
    """

    files: int = 0
    total: int = 0
    largest: tuple[tuple[str, int], ...] = ()
    secrets: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    ignored_count: int = 0
    skipped: tuple[SkippedFile, ...] = ()


@frozen(kw_only=True)
class TransferReport:
    """``sent`` bytes went over the connection; ``total`` bytes are in place, verified by hash.

    ``resumed`` bytes were already there and were not sent. ``deleted``: names below the target that were deleted
    there (in a dry run: that would be deleted). ``archive``: the local tar archive of the files whose names may not be
    used here, empty if there is none.
    """

    files: int
    total: int
    sent: int
    resumed: int
    seconds: float
    skipped: tuple[SkippedFile, ...] = ()
    deleted: tuple[str, ...] = ()
    archive: str = ""


def sum_reports(reports: Iterable[TransferReport]) -> TransferReport:
    """Add up the reports of several transfers; ``archive`` is the last one's that has any."""
    items = tuple(reports)
    return TransferReport(
        files=sum(item.files for item in items),
        total=sum(item.total for item in items),
        sent=sum(item.sent for item in items),
        resumed=sum(item.resumed for item in items),
        seconds=sum(item.seconds for item in items),
        skipped=tuple(skipped for item in items for skipped in item.skipped),
        deleted=tuple(name for item in items for name in item.deleted),
        archive=next((item.archive for item in reversed(items) if item.archive), ""),
    )
