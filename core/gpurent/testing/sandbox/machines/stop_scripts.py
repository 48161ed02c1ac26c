"""Stop scripts: files in a machine that ask the driver to end it."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from gpurent.testing.sandbox.machines.programs import MACHINE_FILES, write_program


class StopPipe:
    """A named pipe; whoever writes into it inside the machine rings outside. It calls ``on_stop`` once."""

    def __init__(self, path: Path, on_stop: Callable[[], None]) -> None:
        self.path = path
        self._on_stop = on_stop
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        os.mkfifo(path, 0o600)
        # Open for both, so that there is never an end of file and no writer has to wait for us.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._fd, self._on_written)

    def close(self) -> None:
        """Listen no more. Idempotent."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
            self.path.unlink(missing_ok=True)

    def _on_written(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 4096)
        asyncio.get_running_loop().remove_reader(self._fd)
        self._on_stop()


def make_stop_script(bell_inside: str) -> str:
    """The text of a stop script, for a bell that the machine sees at that path."""
    return (MACHINE_FILES / "stop.sh").read_text().replace("@BELL@", bell_inside)


def write_home_scripts(scripts: tuple[str, ...], home: Path, bell_inside: str) -> None:
    """Write the scripts that lie in the home; those with absolute paths are the driver's affair."""
    for script in scripts:
        if script.startswith("~/"):
            write_program(home / script[2:], make_stop_script(bell_inside))
