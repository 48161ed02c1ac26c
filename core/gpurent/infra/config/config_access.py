"""Who else can read or change `config.toml`, in which passwords may stand."""

from __future__ import annotations

from pathlib import Path

from gpurent.errors import UsageError
from gpurent.infra.platform.system import (
    is_own_file,
    is_shared,
    is_writable_by_others,
    make_private,
    suggest_private_access,
)
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error


def protect_config(path: Path, *, has_secrets: bool) -> None:
    """Make the file accessible only to its user. One that is a link to elsewhere is left to the user.

    Raises `UsageError` if others can change it, or read a password in it, and it is not for us to mend that.
    """
    if not is_shared(path):
        return
    if is_own_file(path) and not path.is_symlink():
        try:
            make_private(path)
        except OSError as error:
            text = _("{path} is accessible to other users, which could not be changed: {why}")
            raise UsageError(text.format(path=path, why=describe_error(error))) from None
        return
    hint = suggest_private_access(path.resolve())
    if is_writable_by_others(path):
        raise UsageError(_("other users can change {path}").format(path=path), hint=hint)
    if has_secrets:
        raise UsageError(
            _("{path} contains a password, and other users can read it").format(path=path), hint=hint
        )
