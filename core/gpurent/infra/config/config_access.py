"""Who else can read or change `config.toml`, in which passwords may stand."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error


def protect_config(path: Path, *, has_secrets: bool) -> None:
    """Make the file accessible only to its user. One that is a link to elsewhere is left to the user.

    Raises `UsageError` if others can change it, or read a password in it, and it is not for us to mend that.
    """
    found = path.stat()
    if not found.st_mode & 0o077:
        return
    if found.st_uid == os.getuid() and not path.is_symlink():
        try:
            path.chmod(0o600)
        except OSError as error:
            text = _("{path} is accessible to other users, which could not be changed: {why}")
            raise UsageError(text.format(path=path, why=describe_error(error))) from None
        return
    hint = f"chmod 600 {shlex.quote(str(path.resolve()))}"
    if found.st_mode & 0o022:
        raise UsageError(_("other users can change {path}").format(path=path), hint=hint)
    if has_secrets:
        raise UsageError(
            _("{path} contains a password, and other users can read it").format(path=path), hint=hint
        )
