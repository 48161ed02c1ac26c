"""File names and errors as text."""

from __future__ import annotations

from collections.abc import Sequence

from gpurent import api
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.shared.wire import FOREIGN_FOLDER, decode_table


def decode_name(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def printable_name(name: bytes) -> str:
    return api.escape_name(decode_name(name))


def protocol_violation_error(error: Exception, *, is_begun: bool = True) -> api.TransferError:
    """``error`` is for whoever looks into it, and stays English. Before the first frame, another method may work."""
    message = _("unexpected data from the machine: {error}").format(error=error)
    return api.TransferError(message) if is_begun else api.TransferUnsupported(message)


def damaged_file_error(name: bytes) -> api.TransferError:
    return api.corrupted_upload_error(printable_name(name))


def remote_os_error(number: int, name: bytes) -> api.TransferError:
    """Return the error for an error number that the remote side got for ``name``."""
    if number == FOREIGN_FOLDER:
        return api.foreign_folder_error(printable_name(name))
    return api.remote_file_error(number, printable_name(name))


def decode_error_rows(body: bytes | memoryview) -> list[tuple[bytes, str]]:
    """Return the names and messages of a table of `make_error_row` rows."""
    return [(name, message.decode("utf-8", "replace")) for *_row, name, message in decode_table(body)[0]]


def raise_push_failures(failures: Sequence[tuple[bytes, str]]) -> None:
    """Raise a `TransferError` with names and reasons if there are any failures."""
    if failures:
        raise api.upload_failures_error([(printable_name(name), why) for name, why in failures])
