"""The text of our ssh config: one block a lease, between marks of our own. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gpurent.api import Exported, UsageError
from gpurent_plugin_openssh.messages import _

HEAD = "# Written by gpurent; changes are lost. To remove it: gpurent export openssh --all --uninstall\n"
_BLOCK = re.compile(
    r"^# begin (?P<name>[A-Za-z0-9._-]+)\n(?P<body>.*?)^# end (?P=name)\n", re.DOTALL | re.MULTILINE
)


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
