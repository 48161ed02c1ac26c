"""Says that a folder of gpurent on a machine may be somebody else's."""

from __future__ import annotations

from gpurent.domain.filenames import escape_name
from gpurent.errors import RemoteError
from gpurent.ports.connection import CommandResult
from gpurent.remote.own_folders import FOREIGN_STATUS
from gpurent.roles.transfer_errors import describe_foreign_folder, hint_foreign_folder


def check_own_folders(ran: CommandResult) -> None:
    """Raise `RemoteError` if the command met a folder that is not ours; see `gpurent.remote.own_folders`."""
    if ran.exit_status == FOREIGN_STATUS:
        folder = escape_name(ran.stderr.strip().rpartition("\n")[2])
        raise RemoteError(describe_foreign_folder(folder), hint=hint_foreign_folder())
