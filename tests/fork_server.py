"""A process that has already imported gpurent and forks a command line on request.

Starting one then takes milliseconds instead of most of a second; `tests.command_line` is the client. Its stdin is a
socket. A request is one message: JSON ``{"arguments", "environment", "folder"}`` and four descriptors. Three become
stdin, stdout and stderr of the command; to the last one are written the pid on one line and, at the end, the exit code
(``-9``: killed by signal 9). With ``"kill": {"kind", "number"}`` the command kills itself at that point, with
``"count_to"`` it writes to that file how many points it passed, with ``"copy"`` it copies its data at some: see
`tests.reliability.kill_points`. With ``"limits": {"FSIZE": …, "NOFILE": …}`` it has these resource limits.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import json
import os
import pkgutil
import re
import resource
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from gpurent.domain.guard_actions import GuardAction
from gpurent.domain.lease import Lease
from gpurent.domain.lease_copy import LeaseCopy
from gpurent.domain.money import Rate
from gpurent.domain.offer import Bill, Offer, Payment
from gpurent.domain.question import Question
from gpurent.domain.trip import TripSpec
from gpurent.infra.registry import builtin_entries
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.infra.sqlite.codec import get_converter
from tests import suspending_store
from tests.reliability.kill_points import install_kill_points

MAX_MESSAGE_BYTES = 1 << 20


# What commands import only when they need it.
LAZY_LIBRARIES = (
    "anyio._backends._asyncio",
    "asyncssh",
    "httpcore2",
    "httpx2",
    "idna",
    "imap_tools",
    "truststore",
)
# What the Store and its copies write.
STORED = (Lease, LeaseCopy, TripSpec, Question, GuardAction, Rate, Bill, Offer, Payment)
# What runs on another computer, on another system, or in the sandbox's process.
_OTHER_SIDE = re.compile(r"\.(far|simulator|platform\.windows)(\.|$)")


def import_everything(*packages: str) -> EntryPointRegistry:
    """Import what every plugin and the packages ``gpurent.<package>`` would import themselves."""
    registry = EntryPointRegistry.load(builtin=[builtin_entries])
    plugins = {entry.build.__module__.partition(".")[0] for entry in registry.iter_entries()}
    for package in (*sorted(plugins - {"gpurent"}), *(f"gpurent.{package}" for package in packages)):
        found = import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            if not _OTHER_SIDE.search(module.name):
                import_module(module.name)
    for library in LAZY_LIBRARIES:
        import_module(library)
    # A process that ends must not traverse, and so copy, the memory that it shares with this one.
    gc.collect()
    gc.freeze()
    return registry


def warm_up(registry: EntryPointRegistry) -> None:
    """Do once what every command would do again: read where plugins come from, generate converters."""
    registry.list_origins()
    converter = get_converter()
    for kind in STORED:
        converter.get_structure_hook(kind)
        converter.get_unstructure_hook(kind)
    gc.freeze()


def _run_command(request: dict[str, Any]) -> int:
    """Run ``gpurent`` with the arguments of ``request`` and return its exit code."""
    from gpurent.cli.main import main

    for name, limit in request.get("limits", {}).items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))
    install_kill_points(request.get("kill"), request.get("count_to"), request.get("copy"))
    sys.argv = ["gpurent", *request["arguments"]]
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    # The interpreter applies this variable only when it starts; and its own streams were not made for a terminal.
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    for number, name in ((1, "stdout"), (2, "stderr")):
        raw = io.BufferedWriter(io.FileIO(number, "w", closefd=False))
        lines = os.isatty(number) or number == 2
        setattr(sys, name, io.TextIOWrapper(raw, encoding=encoding, line_buffering=lines))
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - said as the interpreter says it
        traceback.print_exc()
        return 1
    return 0


def _run_child(request: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, max(streams) + 64)
    code = 1
    try:
        code = _run_command(request)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def serve_requests(requests: socket.socket) -> None:
    """Serve requests until the other side closes ``requests``."""
    waiting = selectors.DefaultSelector()
    waiting.register(requests, selectors.EVENT_READ)
    while True:
        for key, _events in waiting.select():
            if key.fileobj is not requests:
                pid, answers = key.data
                waiting.unregister(key.fileobj)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                _write_line(answers, f"{code}\n")
                os.close(answers)
                continue
            message, streams, _flags, _address = socket.recv_fds(requests, MAX_MESSAGE_BYTES, 4)
            if not message:
                return
            *standard, answers = streams
            pid = os.fork()
            if pid == 0:
                _run_child(json.loads(message), standard)
            for stream in standard:
                os.close(stream)
            _write_line(answers, f"{pid}\n")
            waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, answers))


def _write_line(descriptor: int, text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # the client is gone
        os.write(descriptor, text.encode())


def main() -> None:
    from gpurent.cli.main import cli

    signal.signal(signal.SIGINT, signal.default_int_handler)
    requests = socket.socket(fileno=os.dup(0))
    import_everything("cli", "composition", "infra", "workflow")
    suspending_store.install_if_wanted()
    warm_up(cli.registry)
    serve_requests(requests)


if __name__ == "__main__":
    main()
