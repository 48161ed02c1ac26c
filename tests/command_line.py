"""The command line, each run in a process of its own, forked from one that has imported everything."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from gpurent.testing.shared_sandbox import CommandLineResult
from tests import suspending_store

ROOT = Path(__file__).parents[1]
NO_POINTS: Mapping[str, object] = {}


class WarmProcess:
    """The process of `tests.fork_server`, which ends with this one; help texts use the ``language`` of the import."""

    def __init__(self, language: str) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "GPURENT_LANG": language}
        handed_on = ("PYTHONPATH", suspending_store.VARIABLE)
        environment |= {name: os.environ[name] for name in handed_on if name in os.environ}
        command = [sys.executable, "-m", "tests.fork_server"]
        with theirs:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=theirs.fileno())

    def close(self) -> None:
        self._requests.close()
        self._process.wait()

    @contextmanager
    def start(
        self,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        folder: Path,
        streams: list[int],
        points: Mapping[str, object],
    ) -> Iterator[tuple[int, Any]]:
        """Start a command; yield its pid and the file that its exit code is written to.

        It is killed if the block raises an error. ``points``: further keys of the request, see `tests.fork_server`.
        """
        answers, theirs = os.pipe()
        request = {
            "arguments": arguments,
            "environment": dict(environment),
            "folder": str(folder),
            **points,
        }
        with os.fdopen(answers) as file:
            try:
                socket.send_fds(self._requests, [json.dumps(request).encode()], [*streams, theirs])
            finally:
                os.close(theirs)
            pid = int(file.readline())
            try:
                yield pid, file
            except BaseException:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise


get_warm_process = cache(WarmProcess)


def _detect_language(arguments: tuple[str, ...], environment: Mapping[str, str]) -> str:
    chosen = arguments[arguments.index("--lang") + 1] if "--lang" in arguments else ""
    names = (
        chosen,
        *(environment.get(name, "") for name in ("GPURENT_LANG", "LC_ALL", "LC_MESSAGES", "LANG")),
    )
    return "zh" if next(filter(None, names), "").lower().startswith("zh") else "en"


@contextmanager
def _running_command(
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    folder: Path,
    input_text: str,
    points: Mapping[str, object],
) -> Iterator[tuple[Any, Any, Any]]:
    with (
        tempfile.TemporaryFile() as stdin,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        stdin.write(input_text.encode())
        stdin.seek(0)
        streams = [file.fileno() for file in (stdin, stdout, stderr)]
        process = get_warm_process(_detect_language(arguments, environment))
        with process.start(arguments, environment, folder, streams, points) as (_pid, end):
            yield end, stdout, stderr


def _read_result(code: str, stdout: Any, stderr: Any) -> CommandLineResult:
    stdout.seek(0)
    stderr.seek(0)
    return CommandLineResult(
        int(code), *(stream.read().decode(errors="replace") for stream in (stdout, stderr))
    )


def run_command(
    *arguments: str, environment: Mapping[str, str], folder: Path, input_text: str = ""
) -> CommandLineResult:
    """Run ``gpurent`` with exactly that environment."""
    with _running_command(arguments, environment, folder, input_text, {}) as (end, stdout, stderr):
        return _read_result(end.readline(), stdout, stderr)


async def run_command_async(
    *arguments: str,
    environment: Mapping[str, str],
    folder: Path,
    input_text: str = "",
    points: Mapping[str, object] = NO_POINTS,
) -> CommandLineResult:
    """The same without blocking the event loop; killed if cancelled. ``points``: see `tests.fork_server`."""
    with _running_command(arguments, environment, folder, input_text, points) as (end, stdout, stderr):
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(end, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(end)
        return _read_result(end.readline(), stdout, stderr)
