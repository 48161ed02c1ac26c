"""The far side's no, in our words."""

from __future__ import annotations

import errno
import os

from gpurent.api import TransferError, shown


def refused(number: int, name: bytes) -> TransferError:
    """An error number that met the helper at ``name``."""
    what = shown(name.decode("utf-8", "surrogateescape"))
    if number in (errno.ENOSPC, errno.EDQUOT):
        return TransferError(
            f"the machine's disk is full: {what}",
            hint="Free some space on the machine, then send again; it goes on.",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return TransferError(
            f"the machine does not let us write or read there: {what}", detail=os.strerror(number)
        )
    if number == errno.ENOENT:
        return TransferError(f"it is not there: {what}", detail=os.strerror(number))
    if number in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return TransferError(
            f"something else has its name on the machine: {what}", detail=os.strerror(number)
        )
    return TransferError(f"{what}: {os.strerror(number)}")
