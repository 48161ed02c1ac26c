"""A first line that is dialled while the rest of the program is still being imported."""

from __future__ import annotations

from gpurent_plugin_turbo.near.connection.bootstrap import push_command
from gpurent_plugin_turbo.near.connection.ssh_process import SshProcess

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpurent.api import SshConnection

_waiting: dict[tuple[str, str], SshProcess] = {}


def dial_push(link: SshConnection, target: str, settings: Mapping[str, str], whole: bool = False) -> None:
    """Begin the login that a push to ``target`` over ``link`` will need; nothing else is touched."""
    command = push_command(target, whole)
    _waiting[str(link.endpoint), command] = SshProcess(link, settings, command)


def take_early(link: SshConnection, command: str) -> SshProcess | None:
    return _waiting.pop((str(link.endpoint), command), None)


def drop_early(link: SshConnection, command: str) -> None:
    """End what was dialled and not taken."""
    waiting = take_early(link, command)
    if waiting is not None:
        waiting.close()
