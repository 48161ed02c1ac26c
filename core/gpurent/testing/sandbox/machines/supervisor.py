"""The supervisor of one embedded machine: a separate process, run as ``python -I -S supervisor.py FD``.

It starts processes on request, reports the end of each, and adopts detached ones (on Linux, as a subreaper), so that
"kill" leaves nothing behind. It imports only the standard library, to be small and quick to start.

On the Unix stream socket FD, one JSON object per line:
    in   {"spawn": n, "argv": [...], "env": {...}, "cwd": "...", "tty": bool}   with 1 (tty) or 3 descriptors
    in   {"kill": true}            end of file means the same
    out  {"ready": true}  {"started": n, "pid": p}  {"ended": n, "status": s}   s < 0: killed by signal -s
End of file on the out stream means that no process is left.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys
import termios
import time
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
EXIT_NOT_FOUND = 127


def become_subreaper() -> None:
    """Make this machine's orphans our children instead of those of process 1."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def list_children() -> list[int]:
    """Return the ids of our direct children."""
    me = os.getpid()
    with contextlib.suppress(FileNotFoundError):
        return [int(pid) for pid in Path(f"/proc/self/task/{me}/children").read_text().split()]
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(entry.read_text().rpartition(")")[2].split()[1]) == me:
                found.append(int(entry.parent.name))
    return found


# Ignored by Python, or by whoever started it: `nohup` would make the machine's processes survive a lost connection.
_INHERITED_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGCHLD,
)


class Supervisor:
    """Starts and reaps processes on request of the driver, over the socket ``channel``."""

    def __init__(self, channel: socket.socket) -> None:
        self._socket = channel
        self._numbers_by_pid: dict[int, int] = {}  # pid -> the driver's number for it
        self._buffer = b""
        self._fds: list[int] = []

    def run(self) -> None:
        """Serve until told to kill or until the driver is gone; then kill all that is left."""
        waker, alarm = os.pipe()
        os.set_blocking(waker, False)
        os.set_blocking(alarm, False)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._send({"ready": True})
        # Not select(), which takes no descriptor above 1023: the driver's process may have as many.
        waiting = select.poll()
        for descriptor in (self._socket.fileno(), waker):
            waiting.register(descriptor, select.POLLIN)
        alive = True
        while alive:
            ready = {descriptor for descriptor, _event in waiting.poll()}
            if waker in ready:
                os.read(waker, 4096)
                self._reap()
            if self._socket.fileno() in ready:
                alive = self._receive()
        self._kill_all()

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._socket, 65536, 3)
        self._fds += fds
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "kill" in order:
                return False
            self._spawn(order)
        return bool(data)

    def _spawn(self, order: dict[str, Any]) -> None:
        fds, self._fds = self._fds, []
        pid = os.fork()
        if pid == 0:
            exec_command(order, fds)
        self._numbers_by_pid[pid] = order["spawn"]
        for fd in fds:
            os.close(fd)
        self._send({"started": order["spawn"], "pid": pid})

    def _reap(self) -> bool:
        """Reap ended children and report them; return False if no child is left, dead or alive."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid in self._numbers_by_pid:
                    self._send(
                        {"ended": self._numbers_by_pid.pop(pid), "status": os.waitstatus_to_exitcode(status)}
                    )
        return False

    def _kill_all(self) -> None:
        while self._reap():
            for pid in {*list_children(), *self._numbers_by_pid}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)


def exec_command(order: dict[str, Any], fds: list[int]) -> None:
    """Set up and exec the command in the forked child; does not return."""
    try:
        os.setsid()
        for target in range(3):
            os.dup2(fds[min(target, len(fds) - 1)], target)
        if order["tty"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.closerange(3, os.sysconf("SC_OPEN_MAX") if sys.platform != "linux" else 4096)
        for number in _INHERITED_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o022)
        with contextlib.suppress(OSError):
            os.chdir(order["cwd"])
        program, *names = order["argv"]
        os.execve(program, names, order["env"])  # noqa: S606
    except BaseException as problem:  # noqa: BLE001  told on the command's own stderr
        os.write(2, f"{problem}\n".encode())
    finally:
        os._exit(EXIT_NOT_FOUND)


def main() -> None:
    """Serve on the socket that the driver passed on."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    os.chdir("/")
    become_subreaper()
    Supervisor(channel).run()


if __name__ == "__main__":
    main()
