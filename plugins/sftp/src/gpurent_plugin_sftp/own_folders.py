"""gpurent's own folders on the machine: for its user alone."""

from __future__ import annotations

import stat
from collections.abc import Sequence

import asyncssh

from gpurent.api import SshConnection, find_own_folders, foreign_folder_error
from gpurent_plugin_sftp.sftp_client import read_output

PRIVATE_FOLDER = asyncssh.SFTPAttrs(permissions=0o700)
PRIVATE_FILE = asyncssh.SFTPAttrs(permissions=0o600)


async def make_private_folders(connection: SshConnection, sftp: asyncssh.SFTPClient, *paths: str) -> None:
    """Make the folders ``paths``, and mend those on the way to them that are gpurent's own.

    Raises `TransferError` if one of these is a link or a file, or belongs to another user.
    """
    own = [find_own_folders(path) for path in paths]
    user = await _read_user_number(connection) if any(own) else None
    for path, folders in zip(paths, own, strict=True):
        await _mend_folders(sftp, folders, user)
        await sftp.makedirs(path, PRIVATE_FOLDER, exist_ok=True)


async def _mend_folders(sftp: asyncssh.SFTPClient, folders: Sequence[str], user: int | None) -> None:
    """Mend the folders that are there, the outermost first. ``user``: our number on the machine, if it tells."""
    for folder in folders:
        try:
            found = await sftp.lstat(folder)
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            break
        is_other = user is not None and found.uid is not None and found.uid != user
        if found.type != asyncssh.FILEXFER_TYPE_DIRECTORY or is_other:
            raise foreign_folder_error(folder)
        if stat.S_IMODE(found.permissions or 0) & 0o077:
            await sftp.setstat(folder, PRIVATE_FOLDER)


async def _read_user_number(connection: SshConnection) -> int | None:
    """Return the number of the user on the machine; None if it does not tell."""
    said = (await read_output(connection, "id -u")).split()
    return int(said[-1]) if said and said[-1].isdecimal() else None
