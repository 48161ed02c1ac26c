"""What transfer backends report to the user, worded once for all of them."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from enum import Enum

from gpurent.domain.transfer import TransferLimits
from gpurent.errors import ExpandingDownload, StorageError, TransferError, UnavailableError, UsageError
from gpurent.locale import N_, _, join_clauses, join_list, ngettext
from gpurent.locale.foreign_text import describe_errno, describe_error, quote_text
from gpurent.locale.sizes import format_size

_MAX_LISTED = 5
_MAX_STDERR = 300  # characters


class FileProblem(Enum):
    """Why one file was not transferred. Names in these errors are printable (`escape_name`)."""

    CHANGED = "changed"
    CHANGED_OR_VANISHED = "changed-or-vanished"
    VANISHED = "vanished"
    UNREADABLE = "unreadable"
    CORRUPTED = "corrupted"
    SPECIAL_FILE = "special-file"
    NOT_UTF8 = "not-utf8"
    DUPLICATE = "duplicate"
    IN_THE_WAY = "in-the-way"
    NAME_TAKEN = "name-taken"
    NO_LINKS = "no-links"

    @property
    def text(self) -> str:
        """The reason in the user's language."""
        return _(_PROBLEM_TEXTS[self])


_PROBLEM_TEXTS = {
    FileProblem.CHANGED: N_("changed while it was being read"),
    FileProblem.CHANGED_OR_VANISHED: N_("changed or vanished while it was being read"),
    FileProblem.VANISHED: N_("no longer exists"),
    FileProblem.UNREADABLE: N_("cannot be read on the machine"),
    FileProblem.CORRUPTED: N_("arrived corrupted"),
    FileProblem.SPECIAL_FILE: N_("not a file, folder or symbolic link"),
    FileProblem.NOT_UTF8: N_("the name is not valid UTF-8"),
    FileProblem.DUPLICATE: N_("listed more than once"),
    FileProblem.IN_THE_WAY: N_(
        "symbolic link not created: a folder, or a file that was changed here, has this name"
    ),
    FileProblem.NO_LINKS: N_("symbolic link not created: this computer allows none here"),
    FileProblem.NAME_TAKEN: N_(
        "symbolic link not created: a file or folder with this name already exists on the machine"
    ),
}


def describe_unreadable(error: OSError) -> str:
    """Why a local file was not uploaded. Raises `StorageError` if that is no fault of the file, as `check_computer`."""
    check_computer(error)
    return _("vanished or cannot be read: {reason}").format(reason=describe_error(error))


def check_computer(error: OSError) -> None:
    """Raise `StorageError` if this computer has no more descriptors or memory: the same may work later."""
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise StorageError(
            _("this computer cannot open another file: {why}").format(why=describe_error(error)),
            hint=_("Close other programs, or raise the limit (ulimit -n). Then try again."),
        ) from error


def describe_outside_link(target: str) -> str:
    """Why a local symbolic link to ``target`` was not uploaded."""
    return _("symbolic link to a target outside the folder: {target}").format(target=target)


def describe_bad_link(reason: str) -> str:
    """Why a remote symbolic link was not created here: ``reason`` is `link_reject_reason`'s."""
    return _("symbolic link not created: {reason}").format(reason=reason)


# the connection


def connection_lost_error(endpoint: object, reason: object = "") -> UnavailableError:
    text = (
        _("the connection to {endpoint} was lost: {error}").format(endpoint=endpoint, error=reason)
        if str(reason)
        else _("the connection to {endpoint} was lost").format(endpoint=endpoint)
    )
    return UnavailableError(text, retryable=True)


def helper_ended_error(endpoint: object, status: int | str, stderr: str) -> UnavailableError:
    """For a program of ours on the machine that ended early. ``status``: its exit code, or the name of a signal."""
    text = (
        _("the transfer program on {endpoint} was ended by signal {signal}").format(
            endpoint=endpoint, signal=status
        )
        if isinstance(status, str)
        else _("the transfer program on {endpoint} ended with exit code {code}").format(
            endpoint=endpoint, code=status
        )
    )
    said = " ".join(stderr.split())[-_MAX_STDERR:]
    return UnavailableError(f"{text}: {quote_text(said)}" if said else text, retryable=True, detail=stderr)


def silence_timeout_error() -> UnavailableError:
    return UnavailableError(_("the machine stopped responding during the transfer"), retryable=True)


# uploads


def missing_source_error(path: object) -> UsageError:
    return UsageError(_("{path} does not exist").format(path=path))


def linked_source_error(path: object) -> UsageError:
    return UsageError(
        _("{path} is not uploaded: a symbolic link is on the way to it").format(path=path),
        hint=_("Name what the link leads to, if it is inside the folder."),
    )


def unreadable_source_error(path: object, error: OSError) -> TransferError:
    """Return the error; raises as `check_computer`."""
    check_computer(error)
    return TransferError(_("{path} cannot be read: {why}").format(path=path, why=describe_error(error)))


def deep_folder_error(path: object, limits: TransferLimits) -> TransferError:
    """For either side; `TransferLimits.max_depth` is exceeded."""
    return TransferError(
        ngettext(
            "{path} is nested more than {depth} folder deep",
            "{path} is nested more than {depth} folders deep",
            limits.max_depth,
        ).format(path=path, depth=limits.max_depth)
    )


def too_many_sources_error(limits: TransferLimits) -> TransferError:
    return TransferError(
        ngettext(
            "there is more than {files} file or {size} to upload",
            "there are more than {files} files or {size} to upload",
            limits.max_files,
        ).format(files=limits.max_files, size=format_size(limits.max_total_bytes)),
        hint=_("Exclude what is not needed in a .gpurentignore file."),
    )


def small_disk_error(free: int, needed: int, *, sent_nothing: bool = False) -> TransferError:
    advice = _("Exclude files with .gpurentignore, or rent a machine with a larger disk.")
    return TransferError(
        _("not enough disk space on the machine: {needed} needed, {free} free").format(
            needed=format_size(needed), free=format_size(free)
        ),
        hint=_("Nothing was uploaded. {advice}").format(advice=advice) if sent_nothing else advice,
    )


def small_local_disk_error(free: int, needed: int) -> TransferError:
    return TransferError(
        _("not enough disk space on this computer: {needed} needed, {free} free").format(
            needed=format_size(needed), free=format_size(free)
        ),
        hint=_("Free some space or choose another folder, then download again."),
    )


def check_expansion(limits: TransferLimits, arrived: int, travelled: int) -> None:
    """Raise `ExpandingDownload` if the bytes that files get here are more than the limits allow without a question.

    ``arrived``: of all files so far, holes included. ``travelled``: what came over the connection for them.
    """
    if limits.max_expansion and arrived > max(limits.free_expansion, limits.max_expansion * travelled):
        raise expanding_download_error(arrived, travelled)


def expanding_download_error(size: int, travelled: int) -> ExpandingDownload:
    """For a download of ``size`` bytes here, of which only ``travelled`` bytes came over the connection."""
    return ExpandingDownload(
        _(
            "the machine sent {travelled}, which would be files of {size} here: nearly all of it is empty"
        ).format(travelled=format_size(travelled), size=format_size(size)),
        hint=_("If that is right, download it in a terminal and agree: gpurent pull LEASE PATH"),
    )


def corrupted_upload_error(name: str) -> TransferError:
    return TransferError(
        _("{name} arrived corrupted on the machine").format(name=name), hint=_("Upload again.")
    )


def upload_failures_error(failures: Sequence[tuple[str, str]]) -> TransferError:
    """``failures``: names and reasons."""
    return TransferError(
        summarize_failures(failures),
        hint=_("Everything else was uploaded, and no partial files were left. Upload again."),
    )


# downloads


def source_name_error(path: str, reason: str) -> TransferError:
    """For a remote ``path`` whose name may not become a local one."""
    return TransferError(_("{path} cannot be downloaded: {reason}").format(path=path, reason=reason))


def too_many_remote_files_error(limits: TransferLimits, *, wrote_nothing: bool = False) -> TransferError:
    advice = _("Download less: name individual folders or files.")
    return TransferError(
        ngettext(
            "the machine lists more than {files} file or {size}",
            "the machine lists more than {files} files or {size}",
            limits.max_files,
        ).format(files=limits.max_files, size=format_size(limits.max_total_bytes)),
        hint=_("Nothing was written. {advice}").format(advice=advice) if wrote_nothing else advice,
    )


def download_failures_error(failures: Sequence[tuple[str, str]]) -> TransferError:
    """``failures``: names and reasons."""
    return TransferError(
        summarize_failures(failures), hint=_("Everything else was downloaded. Download again.")
    )


def missing_remote_sources_error(names: Sequence[str]) -> TransferError:
    return TransferError(
        _("not found on the machine: {names}").format(names=join_list(names)),
        hint=_("Everything that exists was downloaded."),
    )


# either way


def foreign_folder_error(folder: str) -> TransferError:
    """For a folder of gpurent on the machine in whose place is a link, a file, or another user's folder."""
    return TransferError(describe_foreign_folder(folder), hint=hint_foreign_folder())


def describe_foreign_folder(folder: str) -> str:
    return _(
        "{folder} on the machine is not used: it is a link or a file, or belongs to another user there"
    ).format(folder=folder)


def hint_foreign_folder() -> str:
    return _("Its owner could change what runs in it. Look at it: gpurent ssh LEASE; then remove it there.")


def remote_file_error(number: int, name: str, detail: str = "") -> TransferError:
    """For a system error that the machine met at ``name``; ``detail``: its own words, where it has some."""
    detail = detail or describe_errno(number)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return TransferError(
            _("no space left on the machine's disk: {name}").format(name=name),
            hint=_("Free some space on the machine, then upload again; it continues where it stopped."),
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return TransferError(_("permission denied on the machine: {name}").format(name=name), detail=detail)
    if number == errno.ENOENT:
        return TransferError(_("not found on the machine: {names}").format(names=name), detail=detail)
    if number in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return TransferError(
            _("something else with this name is in the way on the machine: {name}").format(name=name),
            detail=detail,
        )
    return TransferError(f"{name}: {detail}", detail=detail)


def summarize_failures(failures: Sequence[tuple[str, str]]) -> str:
    """The first five names with their reasons, and how many more there are."""
    return summarize_texts(
        [_("{name}: {reason}").format(name=name, reason=reason) for name, reason in failures]
    )


def summarize_texts(texts: Sequence[str]) -> str:
    """The first five, and how many more there are."""
    text = join_clauses(texts[:_MAX_LISTED])
    more = len(texts) - _MAX_LISTED
    if more <= 0:
        return text
    return ngettext("{failures} and {count} more", "{failures} and {count} more", more).format(
        failures=text, count=more
    )
