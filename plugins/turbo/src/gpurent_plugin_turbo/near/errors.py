"""Errors in our words. What they need is imported when there is one: a push begins before the rest of the program is
there."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from gpurent.api import GpurentError, TransferError


def told(name: bytes) -> str:
    """A name that may be printed."""
    from gpurent.api import shown

    return shown(name.decode("utf-8", "surrogateescape"))


def trouble(message: str, *, hint: str = "", detail: str = "") -> TransferError:
    from gpurent.api import TransferError

    return TransferError(message, hint=hint, detail=detail)


def lost_line(message: str) -> GpurentError:
    from gpurent.api import UnavailableError

    return UnavailableError(message, retryable=True)


def refused(number: int, name: bytes) -> TransferError:
    """An error number that met the helper at ``name``."""
    what, why = told(name), os.strerror(number)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return trouble(
            f"the machine's disk is full: {what}",
            hint="Free some space on the machine, then send again; it goes on.",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return trouble(f"the machine does not let us write or read there: {what}", detail=why)
    if number == errno.ENOENT:
        return trouble(f"it is not there: {what}", detail=why)
    if number in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return trouble(f"something else has its name on the machine: {what}", detail=why)
    return trouble(f"{what}: {why}")
