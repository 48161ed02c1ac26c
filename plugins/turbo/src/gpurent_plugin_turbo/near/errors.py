"""Names and errors as text."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from gpurent import api
from gpurent_plugin_turbo.shared.wire import decode_table


def decode_name(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def printable_name(name: bytes) -> str:
    return api.escape_name(decode_name(name))


def protocol_violation_error(error: Exception) -> api.TransferError:
    return api.TransferError(f"the machine's helper says what it may not say: {error}")


def damaged_file_error(name: bytes) -> api.TransferError:
    return api.TransferError(f"{printable_name(name)} did not arrive as it is here", hint="Send again.")


def disk_too_small_error(free: int, needed: int) -> api.TransferError:
    return api.TransferError(
        f"the machine has {free} bytes free, and {needed} are to be sent",
        hint="Leave something out with .gpurentignore, or rent a larger disk.",
    )


def remote_os_error(number: int, name: bytes) -> api.TransferError:
    """For an error number that the far side met at ``name``."""
    what, why = printable_name(name), os.strerror(number)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return api.TransferError(
            f"the machine's disk is full: {what}",
            hint="Free some space on the machine, then send again; it goes on.",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return api.TransferError(f"the machine does not let us write or read there: {what}", detail=why)
    if number == errno.ENOENT:
        return api.TransferError(f"it is not there: {what}", detail=why)
    if number in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return api.TransferError(f"something else has its name on the machine: {what}", detail=why)
    return api.TransferError(f"{what}: {why}")


def decode_error_rows(body: bytes | memoryview) -> list[tuple[bytes, str]]:
    """Names and messages of a table of `make_error_row`."""
    return [(row[4], row[5].decode("utf-8", "replace")) for row in decode_table(body)[0]]


def summarize_failures(failures: Sequence[str]) -> str:
    """The first five of them, and how many there are besides."""
    more = f" and {len(failures) - 5} more" if len(failures) > 5 else ""
    return "; ".join(failures[:5]) + more


def raise_push_failures(failures: Sequence[tuple[bytes, str]]) -> None:
    """A `TransferError`, if there are any: names and why they did not go."""
    if failures:
        raise api.TransferError(
            summarize_failures([f"{printable_name(name)}: {why}" for name, why in failures]),
            hint="Everything else has arrived, and nothing half-written was left. Send again.",
        )
