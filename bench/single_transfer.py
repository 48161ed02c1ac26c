"""One push or pull by a plugin in a process of its own: what `gpurent push` does once the lease is known.

single_transfer.py push|held|pull PLUGIN ROOM HOST PORT USER SOURCE TARGET [setting=value ...]
"""

from __future__ import annotations

import gc
import sys
from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


BACKENDS = {
    "turbo": ("gpurent_plugin_turbo.backend", "TurboBackend"),
    "sftp": ("gpurent_plugin_sftp.backend", "SftpBackend"),
}


class StubObject:
    """Stands in for a connection, endpoint or request, without the imports, where the whole process is timed."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def __str__(self) -> str:
        return f"ssh {self.user}@{self.address} -p {self.port}"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class SilentProgress:
    """A progress that shows nothing."""

    def set_total(self, files: int, size: int) -> None: ...
    def advance(self, size: int, name: str = "") -> None: ...
    def finish_file(self, name: str) -> None: ...


def print_report(report: Any, took: float) -> None:
    from resource import RUSAGE_SELF, getrusage

    peak = getrusage(RUSAGE_SELF).ru_maxrss
    figures = f'"sent": {report.sent}, "resumed": {report.resumed}, "seconds": {took:.6f}, "peak_kib": {peak}'
    print(f'{{"files": {report.files}, {figures}}}')


def run_push(folder: str, host: str, port: str, user: str, source: str, target: str, *options: str) -> None:
    """Push over connections of its own, opened before anything else."""
    started = perf_counter()
    from pathlib import Path

    from gpurent_plugin_turbo.near.connection.bootstrap import make_push_command
    from gpurent_plugin_turbo.near.connection.ssh_process import SshProcess, pop_predialed, predial

    settings = dict(text.split("=", 1) for text in options)
    connection: Any = StubObject(
        endpoint=StubObject(user=user, address=host, port=int(port)),
        key_file=f"{folder}/key",
        known_hosts=f"{folder}/known_hosts",
    )
    request: Any = StubObject(
        sources=(Path(source),), target=target, contents_only=True, root=None, use_ignore_files=True, bandwidth_limit=0,
        verify="fast", delete=False, own_folders=(), states=None,
        limits=StubObject(max_files=1_000_000, max_total_bytes=1 << 44, max_depth=64, max_name_bytes=255),
    )  # fmt: skip
    command = make_push_command(request)
    predial(connection, settings, command)
    from gpurent.testing.local_files import open_sources
    from gpurent_plugin_turbo.near.push.pusher import StreamPusher
    from gpurent_plugin_turbo.near.push.scan import mark_first_push

    work = StreamPusher(
        request,
        open_sources(request),
        SilentProgress(),
        lambda first: pop_predialed(connection, command) or SshProcess(connection, settings, command),
        first_push=mark_first_push(connection, target),
        max_streams=int(settings.get("max_connections", 8)),
    )
    work.run()
    report = StubObject(files=work.scan.files, sent=work.sent, resumed=work.resumed)
    print_report(report, perf_counter() - started)


async def main(mode: str, plugin: str, folder: str, host: str, port: str, user: str, *rest: str) -> None:
    """Run the plugin's backend with an event loop; ``held``: over a connection that is already open."""
    import asyncio
    from importlib import import_module
    from pathlib import Path

    import asyncssh

    from gpurent.api import Endpoint, PullRequest, PushRequest
    from gpurent.testing.local_files import LOCAL_FILES
    from gpurent_plugin_turbo.near.connection.ssh_process import FAST_CIPHERS

    source, target, *options = rest
    settings = dict(text.split("=", 1) for text in options)
    connection = None
    if plugin == "sftp" or mode == "held":
        connection = await asyncssh.connect(
            host, int(port), username=user, client_keys=[f"{folder}/key"], known_hosts=f"{folder}/known_hosts",
            config=None, agent_path=None, compression_algs=["none"],
            encryption_algs=FAST_CIPHERS,
        )  # fmt: skip
    held_connection: Any = StubObject(
        endpoint=Endpoint(user, host, int(port)), key_file=Path(folder, "key"),
        known_hosts=Path(folder, "known_hosts"), transport=connection, alive=connection is not None,
    )  # fmt: skip
    module, kind = BACKENDS[plugin]
    made = getattr(import_module(module), kind)
    backend = made(settings, LOCAL_FILES) if plugin == "turbo" else made(LOCAL_FILES)
    if plugin == "turbo":
        import gpurent_plugin_turbo.near.connection.ssh_channel  # noqa: F401 - a trip that has a connection has its plugin, too
    if connection is not None:
        await asyncio.sleep(0.5)  # so that nothing of the login is still going on
    started = perf_counter()
    if mode == "pull":
        report = await backend.pull(
            held_connection, PullRequest(sources=(source,), target=Path(target)), SilentProgress()
        )
    else:
        report = await backend.push(
            held_connection,
            PushRequest(sources=(Path(source),), target=target, contents_only=True),
            SilentProgress(),
        )
    print_report(report, perf_counter() - started)


if __name__ == "__main__":
    gc.set_threshold(50_000)  # as in the command line
    if sys.argv[1:3] == ["push", "turbo"]:
        run_push(*sys.argv[3:])
    else:
        import asyncio

        asyncio.run(main(*sys.argv[1:]))
