"""Exceptions that nobody foresaw, as errors that a user can act on."""

from __future__ import annotations

import errno

from gpurent.errors import GpurentError, InternalError, PluginError, StorageError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_errno

# What only this computer can be the reason of.
_LOCAL_ERRNOS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EMFILE,
        errno.ENFILE,
        errno.EIO,
        errno.EFBIG,
        errno.ENOMEM,
    }
)


def find_storage_error(error: BaseException) -> StorageError | None:
    """Return ``error``, or the nearest error that it comes from, as a `StorageError`; None if it is another."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _LOCAL_ERRNOS:
            return _make_storage_error(cause, cause.errno)
        if _has_no_temporary_folder(cause):
            made = StorageError(
                _("this computer has a problem: no folder for temporary files can be written"),
                hint=suggest_repair(errno.ENOSPC),
            )
            made.__cause__ = cause
            return made
        cause = cause.__cause__
    return None


def _has_no_temporary_folder(error: BaseException) -> bool:
    """Whether ``error`` is that of `tempfile`, which libraries use: a missing file without a name."""
    return (
        isinstance(error, FileNotFoundError)
        and error.filename is None
        and str(error.strerror).startswith("No usable temporary directory")
    )


def _make_storage_error(error: OSError, number: int) -> StorageError:
    where = error.filename if isinstance(error.filename, str) else ""
    text = _("{path}: {why}") if where else _("this computer has a problem: {why}")
    made = StorageError(text.format(path=where, why=describe_errno(number)), hint=suggest_repair(number))
    made.__cause__ = error
    return made


def suggest_repair(number: int) -> str:
    """Return what the user can do about the system's error ``number``."""
    if number in (errno.EMFILE, errno.ENFILE):
        return _("Raise the limit of open files (ulimit -n), or close other programs; then try again.")
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _("Free some disk space, then try again.")
    return _("Make gpurent's data folder writable again, then try again.")


def describe_exception(error: BaseException) -> str:
    """Return the class and the text of ``error``; even its text may fail."""
    try:
        text = " ".join(str(error).split())[:200]
    except Exception:  # noqa: BLE001 - it was written by somebody else
        text = ""
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind


def to_gpurent_error(error: Exception) -> GpurentError:
    """Return ``error`` itself if it is ours; else one of ours that says what is known about it."""
    if isinstance(error, GpurentError):
        return error
    found = find_storage_error(error)
    if found is not None:
        return found
    made = InternalError(
        _("gpurent failed with an internal error: {error}").format(error=describe_exception(error))
    )
    made.__cause__ = error
    return made


def to_plugin_error(name: str, package: str, error: Exception) -> GpurentError:
    """Return the error of the plugin for ``name``, in the Python package ``package``, for what it let escape."""
    found = find_storage_error(error)
    if found is not None:
        return found
    made = PluginError(
        _("the plugin for {name!r} ({package}) failed: {error}").format(
            name=name, package=package, error=describe_exception(error)
        ),
        hint=_("Report it to the plugin's authors; its other commands may work. See: gpurent plugin list"),
    )
    made.__cause__ = error
    return made


def add_hint(error: GpurentError, text: str) -> None:
    """Add ``text`` to what the user can do about ``error``, unless it says so already."""
    if text not in error.hint:
        error.hint = f"{error.hint}\n{text}".strip()
