"""Our own file in ``~/.ssh``, with one block per lease, and the Include line that makes ssh read it."""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from gpurent.api import ExportedLease, UsageError
from gpurent_plugin_openssh import _

FILE_HEADER = (
    "# Written by gpurent; edits are overwritten. To remove it: gpurent export openssh --all --uninstall\n"
)
_BLOCK_PATTERN = re.compile(
    r"^# begin (?P<name>[A-Za-z0-9._-]+)\n(?P<body>.*?)^# end (?P=name)\n", re.DOTALL | re.MULTILINE
)
CONFIG_NAME = "gpurent_config"
BACKUP_NAME = "config.before-gpurent"
_BINARY = getattr(os, "O_BINARY", 0)
_LOCK_RETRY_SECONDS = 0.05
INCLUDE_COMMENT = "# gpurent: the next line makes ssh read the leases"


def quote_path(path: Path) -> str:
    """Quote ``path`` as one argument in an ssh config; quotes, backslashes and percent tokens are escaped."""
    text = path.as_posix()  # ssh on Windows takes slashes too
    if not text.isprintable() or "${" in text:
        raise UsageError(_("ssh cannot handle the characters in this path: {path!r}").format(path=text))
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def format_block(lease: ExportedLease) -> str:
    """Return one ``Host`` block, including its begin and end marks.

    The name is also the host key alias, so that a new machine at an old address is never mistaken for the old one.
    """
    lines = [
        f"Host {lease.name}",
        f"  HostName {lease.endpoint.address}",
        f"  Port {lease.endpoint.port}",
        f"  User {lease.endpoint.user}",
        f"  HostKeyAlias {lease.name}",
        f"  UserKnownHostsFile {quote_path(lease.known_hosts)}",
        "  GlobalKnownHostsFile none",
        "  StrictHostKeyChecking yes",
        "  UpdateHostKeys no",
        f"  IdentityFile {quote_path(lease.key_file)}",
        "  IdentitiesOnly yes",
        "  ForwardAgent no",
        "  ForwardX11 no",
        "  ServerAliveInterval 15",
    ]
    if lease.host_key:
        lines.append(f"  HostKeyAlgorithms {_host_key_algorithms(lease.host_key.partition(' ')[0])}")
    return f"# begin {lease.name}\n" + "\n".join(lines) + f"\n# end {lease.name}\n"


def _host_key_algorithms(kind: str) -> str:
    """Return the signature algorithms that a pinned key of ``kind`` can use."""
    return "rsa-sha2-512,rsa-sha2-256" if kind == "ssh-rsa" else kind


def parse_blocks(text: str) -> dict[str, str]:
    """Return the blocks of our file by name, unchanged."""
    return {match["name"]: match[0] for match in _BLOCK_PATTERN.finditer(text)}


def format_config(found: Mapping[str, str]) -> str:
    """Return the text of our file."""
    return FILE_HEADER + "".join(f"\n{found[name]}" for name in sorted(found))


class SshConfigFolder:
    """The ``~/.ssh`` folder of one home. If ``config`` is a link, its target is changed and the link is kept."""

    def __init__(self, home: Path) -> None:
        self.folder = home / ".ssh"
        self.own_config = self.folder / CONFIG_NAME

    @property
    def user_config(self) -> Path:
        return (self.folder / "config").resolve()

    @property
    def include_line(self) -> str:
        """The Include line. Its path is absolute: ssh resolves relative ones in the passwd home, not in ``$HOME``."""
        text = quote_path(self.own_config)
        if any(sign in text for sign in "*?[%"):
            raise UsageError(
                _("ssh cannot include {path}").format(path=self.own_config),
                hint=_("Use: gpurent export openssh LEASE -o FILE"),
            )
        return f"Include {text}"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock our file against other processes."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = _lock_folder(self.folder)
        try:
            yield
        finally:
            os.close(handle)

    def read_blocks(self) -> dict[str, str]:
        """Return our blocks by name; empty if there is no file."""
        try:
            return parse_blocks(self.own_config.read_text("utf-8"))
        except FileNotFoundError:
            return {}

    def write_blocks(self, found: Mapping[str, str]) -> list[str]:
        """Write our file and the Include line where they differ; return descriptions of what was changed."""
        text, done = format_config(found), []
        include = self.include_line
        if not self.own_config.exists() or self.own_config.read_text("utf-8") != text:
            _replace_file(self.own_config, text.encode(), 0o600)
            done.append(f"{self.own_config}: {', '.join(sorted(found))}")
        before = self._read_user_config()
        if include not in before.decode("utf-8", "replace").splitlines():
            if before:
                _replace_file(self.folder / BACKUP_NAME, before, 0o600)
            _replace_file(
                self.user_config,
                f"{INCLUDE_COMMENT}\n{include}\n\n".encode() + before,
                self._user_config_mode(),
            )
            done.append(f"{self.user_config}: {include}")
        return done

    def delete_config(self) -> list[str]:
        """Delete our file and our lines; return what was changed. Every other byte of the user's config is kept."""
        done = []
        if self.own_config.exists():
            self.own_config.unlink()
            done.append(f"{self.own_config}: -")
        before = self._read_user_config()
        after = before.replace(f"{INCLUDE_COMMENT}\n{self.include_line}\n\n".encode(), b"", 1)
        if after == before:
            lines = before.splitlines(keepends=True)
            mine = (INCLUDE_COMMENT.encode(), self.include_line.encode())
            after = b"".join(line for line in lines if line.rstrip(b"\r\n") not in mine)
        if after != before:
            if after:
                _replace_file(self.user_config, after, self._user_config_mode())
            else:
                self.user_config.unlink()
            done.append(f"{self.user_config}: -")
        return done

    def _read_user_config(self) -> bytes:
        try:
            return self.user_config.read_bytes()
        except FileNotFoundError:
            return b""

    def _user_config_mode(self) -> int:
        return self.user_config.stat().st_mode & 0o777 if self.user_config.exists() else 0o600


def _lock_folder(folder: Path) -> int:
    """Wait for the lock of ``folder``; return the handle that holds it until it is closed, or its process ends."""
    if sys.platform == "win32":
        while True:
            with suppress(FileExistsError, PermissionError):
                # Windows deletes the file together with its last handle.
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_TEMPORARY
                return os.open(folder / f"{CONFIG_NAME}.lock", flags)
            time.sleep(_LOCK_RETRY_SECONDS)
    else:
        import fcntl

        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        return handle


def _replace_file(path: Path, data: bytes, mode: int) -> None:
    """Atomically replace the content of ``path`` with ``data``."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(mode)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
