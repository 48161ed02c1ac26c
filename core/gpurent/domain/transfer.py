"""Transfer requests and their reports."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen


@frozen(kw_only=True)
class TransferLimits:
    """Limits beyond which a transfer is refused as hostile or mistaken. Sizes in bytes.

    In a download, the same limit as for ``files`` applies once more to all other names (folders, links).
    """

    files: int = 1_000_000
    total: int = 1 << 44
    depth: int = 64
    name: int = 255


@frozen(kw_only=True)
class PushRequest:
    """Upload ``sources`` (files or folders) into the remote folder ``target`` (relative to the home folder).

    With ``contents_only`` and a single folder as source, the folder's *contents* go into ``target`` (the user's project
    folder); otherwise each source keeps its name. ``use_ignore_files``: honour ``.gpurentignore`` and ``.gitignore``.
    ``bandwidth_limit``: bytes per second on the connection, 0 for none. ``verify``: ``fast`` verifies what is
    transferred; ``full`` also reads existing remote files and does not take equal sizes and times as equal contents.

    ``delete``: afterwards delete remote files below the uploaded folders that do not exist locally; files ignored here
    are kept. ``dry_run``: transfer and delete nothing; the report lists what ``delete`` would delete.
    """

    sources: tuple[Path, ...]
    target: str
    contents_only: bool = False
    use_ignore_files: bool = True
    bandwidth_limit: int = 0
    verify: str = "fast"
    delete: bool = False
    dry_run: bool = False
    limits: TransferLimits = TransferLimits()


@frozen(kw_only=True)
class PullRequest:
    """Download the remote ``sources`` (absolute or relative to the home folder) into the local folder ``target``."""

    sources: tuple[str, ...]
    target: Path
    bandwidth_limit: int = 0
    verify: str = "fast"
    limits: TransferLimits = TransferLimits()


@frozen(kw_only=True)
class SkippedName:
    """A name that was not transferred, and the reason in words."""

    name: str
    reason: str


@frozen(kw_only=True)
class TransferReport:
    """``sent`` bytes went over the connection; ``total`` are in place, verified by hash; ``resumed`` were there before.

    ``deleted``: names below the target that were deleted there (in a dry run: that would be deleted).
    """

    files: int
    total: int
    sent: int
    resumed: int
    seconds: float
    skipped: tuple[SkippedName, ...] = ()
    deleted: tuple[str, ...] = ()
