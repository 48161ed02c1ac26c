"""Names and errors as text. What they need of core is imported late: a push begins before the rest of the program."""

from __future__ import annotations

import errno
import os

from gpurent_plugin_turbo.shared.wire import decode_table

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from gpurent.api import GpurentError, TransferError


def decode_name(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def printable_name(name: bytes) -> str:
    """A name that may be printed."""
    from gpurent.api import shown

    return shown(decode_name(name))


def transfer_error(message: str, *, hint: str = "", detail: str = "") -> TransferError:
    from gpurent.api import TransferError

    return TransferError(message, hint=hint, detail=detail)


def connection_lost(message: str) -> GpurentError:
    from gpurent.api import UnavailableError

    return UnavailableError(message, retryable=True)


def protocol_violated(error: Exception) -> TransferError:
    return transfer_error(f"the machine's helper says what it may not say: {error}")


def arrived_damaged(name: bytes) -> TransferError:
    return transfer_error(f"{printable_name(name)} did not arrive as it is here", hint="Send again.")


def disk_too_small(free: int, needed: int) -> TransferError:
    return transfer_error(
        f"the machine has {free} bytes free, and {needed} are to be sent",
        hint="Leave something out with .gpurentignore, or rent a larger disk.",
    )


def remote_os_error(number: int, name: bytes) -> TransferError:
    """For an error number that the far side met at ``name``."""
    what, why = printable_name(name), os.strerror(number)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return transfer_error(
            f"the machine's disk is full: {what}",
            hint="Free some space on the machine, then send again; it goes on.",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return transfer_error(f"the machine does not let us write or read there: {what}", detail=why)
    if number == errno.ENOENT:
        return transfer_error(f"it is not there: {what}", detail=why)
    if number in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return transfer_error(f"something else has its name on the machine: {what}", detail=why)
    return transfer_error(f"{what}: {why}")


def decode_error_rows(body: bytes | memoryview) -> list[tuple[bytes, str]]:
    """Names and messages of a table of `far.disk.error_row`."""
    return [(row[4], row[5].decode("utf-8", "replace")) for row in decode_table(body)[0]]


def list_first(failures: list[str]) -> str:
    """The first five of them, and how many there are besides."""
    more = f" and {len(failures) - 5} more" if len(failures) > 5 else ""
    return "; ".join(failures[:5]) + more
