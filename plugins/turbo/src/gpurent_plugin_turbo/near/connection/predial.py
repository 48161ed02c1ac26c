"""Starts the first connection of a push while the rest of the program is still being imported."""

from __future__ import annotations

from gpurent_plugin_turbo.near.connection.bootstrap import push_command
from gpurent_plugin_turbo.near.connection.ssh_process import SshProcess

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpurent.api import SshConnection

_predialed: dict[tuple[str, str], SshProcess] = {}


def predial_push(
    link: SshConnection, target: str, settings: Mapping[str, str], full_verify: bool = False
) -> None:
    """Begin the login that a push to ``target`` over ``link`` will need; nothing else is touched."""
    command = push_command(target, full_verify)
    _predialed[str(link.endpoint), command] = SshProcess(link, settings, command)


def take_predialed(link: SshConnection, command: str) -> SshProcess | None:
    return _predialed.pop((str(link.endpoint), command), None)


def drop_predialed(link: SshConnection, command: str) -> None:
    """End the connection, if nobody took it."""
    if (predialed := take_predialed(link, command)) is not None:
        predialed.close()
