"""What is carried, and what became of it."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen


@frozen(kw_only=True)
class TransferLimits:
    """How much one transfer may hold before it is refused as hostile or mistaken. Sizes in bytes.

    On the way down other names than ``files`` (folders, links) may be as many again.
    """

    files: int = 1_000_000
    total: int = 1 << 44
    depth: int = 64
    name: int = 255


@frozen(kw_only=True)
class PushRequest:
    """Carry ``sources`` (files or folders) into the remote folder ``target`` (relative to the home).

    A folder's *content* goes into ``target`` when it is the only source and ``contents_only`` is true (the user's
    project folder), else each source keeps its name. ``use_ignore_files``: honour ``.gpurentignore`` and
    ``.gitignore``. ``bandwidth_limit``: bytes a second over the line, 0 for none. ``verify``: ``fast`` checks what
    arrives, ``full`` also reads back what lies there, and does not believe that equal sizes and times mean equal
    content.

    ``delete``: afterwards take away there, below what was carried, what is not here any more and not ignored here.
    ``dry_run``: carry nothing and take nothing away; the report names what ``delete`` would take.
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
    """Bring the remote ``sources`` (relative to the home or absolute) into the local folder ``target``."""

    sources: tuple[str, ...]
    target: Path
    bandwidth_limit: int = 0
    verify: str = "fast"
    limits: TransferLimits = TransferLimits()


@frozen(kw_only=True)
class SkippedName:
    """A name that was not carried, and why in words."""

    name: str
    why: str


@frozen(kw_only=True)
class TransferReport:
    """``sent`` bytes went over the line; ``total`` lie there now, verified by hash; ``resumed`` were there before.

    ``deleted``: names below the target that were taken away there (dry run: that would be).
    """

    files: int
    total: int
    sent: int
    resumed: int
    seconds: float
    skipped: tuple[SkippedName, ...] = ()
    deleted: tuple[str, ...] = ()
