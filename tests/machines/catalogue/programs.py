"""Machines that lack programs."""

from __future__ import annotations

import shutil

from gpurent.child_processes import run_program
from tests.machines.machine import OddMachine

_PYTHONS = ("python3", "python", "python2", *(f"python3.{minor}" for minor in range(6, 20)))
_BROKEN = "#!/bin/sh\necho 'python3: error while loading shared libraries: libpython3.so.1.0' >&2\nexit 127\n"
_SESSIONS, _INSTALLERS = ("screen", "tmux"), ("apt-get", "apt")
_NOT_INSTALLABLE = "the session backend is missing on the machine and cannot be installed there"
_NO_SESSIONS = ("start screen", "start tmux", "logs", "attach", "stop")


def _list_applets() -> list[str]:
    busybox = shutil.which("busybox")
    return run_program([busybox, "--list"], environment={}).stdout.split() if busybox else []


def _mask_programs() -> tuple[str, ...]:
    """Return the arguments of bubblewrap that leave nothing but busybox and sshd of the system's programs."""
    kept = {"/usr/bin/busybox": "busybox", "/usr/sbin/sshd": "sshd"}
    found = ["--tmpfs", "/usr/bin", "--tmpfs", "/usr/sbin", "--tmpfs", "/usr/local"]
    for path in kept:
        found += ["--ro-bind", path, path]
    for name in _list_applets():
        if name not in ("busybox", "sshd"):
            found += ["--symlink", "/usr/bin/busybox", f"/usr/bin/{name}"]
    return (*found, "--remount-ro", "/usr/bin", "--remount-ro", "/usr/sbin")


PROGRAMS = (
    OddMachine(name="no python3", summary="no Python at all", missing=_PYTHONS),
    OddMachine(
        name="python3 broken",
        summary="`python3` is there and cannot start",
        programs={"python3": _BROKEN, "python": _BROKEN},
    ),
    OddMachine(
        name="busybox alone",
        summary="busybox is the only program, and its ash the login shell",
        shell_program="ash",
        missing=(*_PYTHONS, *_SESSIONS, *_INSTALLERS),
        bwrap=_mask_programs(),
        needs=("busybox",),
        limits=dict.fromkeys(_NO_SESSIONS, _NOT_INSTALLABLE),
    ),
    OddMachine(
        name="no screen", summary="screen is missing, and apt-get can install it", missing=("screen",)
    ),
    OddMachine(name="no tmux", summary="tmux is missing, and apt-get can install it", missing=("tmux",)),
    OddMachine(
        name="no sessions",
        summary="neither screen nor tmux, and nothing to install them with",
        missing=(*_SESSIONS, *_INSTALLERS),
        limits=dict.fromkeys(_NO_SESSIONS, _NOT_INSTALLABLE),
    ),
    OddMachine(name="no setsid", summary="`setsid` is missing", missing=("setsid",)),
    OddMachine(
        name="no tar",
        summary="no Python, and `tar` is missing",
        missing=(*_PYTHONS, "tar"),
        limits=dict.fromkeys(("push turbo", "pull turbo"), "neither python3 nor sh, tar and head"),
    ),
    OddMachine(name="no awk", summary="`awk` is missing", missing=("awk", "mawk", "gawk")),
    OddMachine(
        name="no procps",
        summary="`ps`, `pkill`, `free` and `uptime` are missing, as in slim images",
        missing=("ps", "pkill", "pgrep", "free", "top", "uptime", "kill", "w", "watch"),
    ),
    OddMachine(name="no sudo", summary="a plain user who may become nobody else", missing=("sudo", "su")),
)
