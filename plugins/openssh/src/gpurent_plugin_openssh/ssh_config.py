"""Our file in ``~/.ssh``, one block a lease, and the one line that makes ssh read it."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gpurent.api import Exported, UsageError
from gpurent_plugin_openssh import _

HEAD = "# Written by gpurent; changes are lost. To remove it: gpurent export openssh --all --uninstall\n"
_BLOCK = re.compile(
    r"^# begin (?P<name>[A-Za-z0-9._-]+)\n(?P<body>.*?)^# end (?P=name)\n", re.DOTALL | re.MULTILINE
)
OURS = "gpurent_config"
BACKUP = "config.before-gpurent"
NOTE = "# gpurent: the next line makes ssh read the leases"


def quoted(path: Path) -> str:
    """``path`` as one argument of a config line: quotes, backslashes and percent tokens mean themselves."""
    text = str(path)
    if not text.isprintable() or "${" in text:
        raise UsageError(_("ssh cannot be told of a path with such characters: {path!r}").format(path=text))
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def block(lease: Exported) -> str:
    """One ``Host`` block, from mark to mark.

    The name is an alias for the host key as well, so that a new machine at an old address is never mistaken for it.
    """
    lines = [
        f"Host {lease.name}",
        f"  HostName {lease.endpoint.address}",
        f"  Port {lease.endpoint.port}",
        f"  User {lease.endpoint.user}",
        f"  HostKeyAlias {lease.name}",
        f"  UserKnownHostsFile {quoted(lease.known_hosts)}",
        "  GlobalKnownHostsFile none",
        "  StrictHostKeyChecking yes",
        "  UpdateHostKeys no",
        f"  IdentityFile {quoted(lease.key_file)}",
        "  IdentitiesOnly yes",
        "  ForwardAgent no",
        "  ForwardX11 no",
        "  ServerAliveInterval 15",
    ]
    if lease.host_key:
        lines.append(f"  HostKeyAlgorithms {_algorithms(lease.host_key.partition(' ')[0])}")
    return f"# begin {lease.name}\n" + "\n".join(lines) + f"\n# end {lease.name}\n"


def _algorithms(kind: str) -> str:
    """What a pinned key of ``kind`` can prove itself with."""
    return "rsa-sha2-512,rsa-sha2-256" if kind == "ssh-rsa" else kind


def blocks(text: str) -> dict[str, str]:
    """The blocks of a file of ours by name, as they stand there."""
    return {match["name"]: match[0] for match in _BLOCK.finditer(text)}


def whole(found: Mapping[str, str]) -> str:
    """A file of ours."""
    return HEAD + "".join(f"\n{found[name]}" for name in sorted(found))


class Place:
    """``~/.ssh`` of one home. A ``config`` that is a link is changed where it points to; the link stays."""

    def __init__(self, home: Path) -> None:
        self.folder = home / ".ssh"
        self.ours = self.folder / OURS

    @property
    def config(self) -> Path:
        return (self.folder / "config").resolve()

    @property
    def include(self) -> str:
        """Absolute, since ssh looks relative names up below the home of the user database, not of the environment."""
        text = quoted(self.ours)
        if any(sign in text for sign in "*?[%"):
            raise UsageError(
                _("ssh cannot include {path}").format(path=self.ours),
                hint=_("Use: gpurent export openssh LEASE -o FILE"),
            )
        return f"Include {text}"

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One process at a time reads and writes our file."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def read(self) -> dict[str, str]:
        """Our blocks by name; empty when there is no file."""
        try:
            return blocks(self.ours.read_text("utf-8"))
        except FileNotFoundError:
            return {}

    def write(self, found: Mapping[str, str]) -> list[str]:
        """Make it so; what was done."""
        text, done = whole(found), []
        include = self.include
        if not self.ours.exists() or self.ours.read_text("utf-8") != text:
            _replace(self.ours, text.encode(), 0o600)
            done.append(f"{self.ours}: {', '.join(sorted(found))}")
        before = self._config()
        if include not in before.decode("utf-8", "replace").splitlines():
            if before:
                _replace(self.folder / BACKUP, before, 0o600)
            _replace(self.config, f"{NOTE}\n{include}\n\n".encode() + before, self._mode())
            done.append(f"{self.config}: {include}")
        return done

    def clear(self) -> list[str]:
        """Our file and our lines are gone; every other byte of the user's config stays."""
        done = []
        if self.ours.exists():
            self.ours.unlink()
            done.append(f"{self.ours}: -")
        before = self._config()
        after = before.replace(f"{NOTE}\n{self.include}\n\n".encode(), b"", 1)
        if after == before:
            lines = before.splitlines(keepends=True)
            mine = (NOTE.encode(), self.include.encode())
            after = b"".join(line for line in lines if line.rstrip(b"\r\n") not in mine)
        if after != before:
            if after:
                _replace(self.config, after, self._mode())
            else:
                self.config.unlink()
            done.append(f"{self.config}: -")
        return done

    def _config(self) -> bytes:
        try:
            return self.config.read_bytes()
        except FileNotFoundError:
            return b""

    def _mode(self) -> int:
        return self.config.stat().st_mode & 0o777 if self.config.exists() else 0o600


def _replace(path: Path, data: bytes, mode: int) -> None:
    """``path`` holds ``data`` in one move, or what it held before."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
