"""One push or pull by a plugin, as a process of its own: what `gpurent push` does once the lease is known.

carry.py push PLUGIN ROOM HOST PORT USER SOURCE TARGET [setting=value ...]
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

if __name__ == "__main__" and sys.argv[1:3] == ["push", "turbo"]:
    # As early as the command line knows where the machine is: the login goes on while Python imports.
    from gpurent_plugin_turbo.early import dial_push

    _room, _host, _port, _user, _, _target, *_given = sys.argv[3:]
    _where = type(
        "Where",
        (SimpleNamespace,),
        {"__str__": lambda self: f"ssh {self.user}@{self.address} -p {self.port}"},
    )(user=_user, address=_host, port=int(_port))
    dial_push(
        SimpleNamespace(endpoint=_where, key_file=Path(_room, "key"), known_hosts=Path(_room, "known_hosts")),  # type: ignore[arg-type]
        _target,
        dict(text.split("=", 1) for text in _given),
    )

import asyncio
import json
from importlib import import_module
from time import perf_counter

from gpurent.api import Endpoint, Pull, Push

CLASSES = {
    "turbo": ("gpurent_plugin_turbo.backend", "Turbo"),
    "sftp": ("gpurent_plugin_sftp.backend", "Sftp"),
}


class Quiet:
    """A progress that shows nothing."""

    def total(self, files: int, size: int) -> None: ...
    def advance(self, size: int, name: str = "") -> None: ...
    def file_done(self, name: str) -> None: ...


def backend(name: str, settings: dict[str, str]) -> Any:
    module, kind = CLASSES[name]
    made = getattr(import_module(module), kind)
    return made(settings) if name == "turbo" else made()


async def connect(room: Path, host: str, port: int, user: str) -> Any:
    """A line as core would have it open."""
    import asyncssh

    return await asyncssh.connect(
        host, port, username=user, client_keys=[str(room / "key")], known_hosts=str(room / "known_hosts"),
        config=None, agent_path=None, compression_algs=["none"],
    )  # fmt: skip


def link(room: Path, host: str, port: int, user: str, connection: Any = None) -> Any:
    return SimpleNamespace(
        endpoint=Endpoint(user, host, port), key_file=room / "key", known_hosts=room / "known_hosts",
        connection=connection, alive=connection is not None,
    )  # fmt: skip


async def main(way: str, plugin: str, room: str, host: str, port: str, user: str, *rest: str) -> None:
    source, target, *given = rest
    settings = dict(text.split("=", 1) for text in given)
    held = plugin == "sftp" or way == "held"
    connection = await connect(Path(room), host, int(port), user) if held else None
    begun = perf_counter()
    line = link(Path(room), host, int(port), user, connection)
    if way != "pull":
        cargo = Push(sources=(Path(source),), target=target, content=True)
        report = await backend(plugin, settings).push(line, cargo, Quiet())
    else:
        report = await backend(plugin, settings).pull(
            line, Pull(sources=(source,), target=Path(target)), Quiet()
        )
    took = perf_counter() - begun
    told = {"files": report.files, "sent": report.sent, "resumed": report.resumed, "seconds": took}
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
