"""The one way to start a program on this computer.

A child gets an absolute program, the root folder as its working folder, and only the environment variables of a white
list: whatever lies in the current folder or in the caller's environment decides nothing, and no secret is handed on.
Python runs isolated. Modules are imported when they are used: importing subprocess takes longer than starting a
process.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

TYPE_CHECKING = False  # the typing import costs time, and some plugins count milliseconds
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Mapping, Sequence
    from typing import IO

    StartedProgram = subprocess.Popen[bytes]

PIPE, DEVNULL = -1, -3
"""As in subprocess."""
FOLDER = "/" if sys.platform != "win32" else os.environ.get("SYSTEMROOT", "C:\\Windows")
"""Where children start: a folder in which nobody but an administrator can put anything."""
LOCALE_VARIABLES = (
    *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_COLLATE", "LC_NUMERIC", "LC_MONETARY"),
    *("LC_TIME", "TZ"),
)
# Without some of these, programs on Windows do not even start.
_WINDOWS_VARIABLES = (
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE", "USERNAME"),
    *("HOMEDRIVE", "HOMEPATH", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "COMPUTERNAME"),
)
USER_VARIABLES = (
    *(*LOCALE_VARIABLES, "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR"),
    *(_WINDOWS_VARIABLES if sys.platform == "win32" else ()),
)
TERMINAL_VARIABLES = ("TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES")
# What a program of the user's desktop needs to open a window, and to find its settings and the user's ssh agent.
DESKTOP_VARIABLES = (
    *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK"),
    *("XDG_RUNTIME_DIR", "XDG_CURRENT_DESKTOP", "XDG_SESSION_TYPE", "XDG_SESSION_DESKTOP", "DESKTOP_SESSION"),
    *("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_DIRS"),
    *("XDG_CONFIG_DIRS", "KDE_FULL_SESSION", "KDE_SESSION_VERSION", "GNOME_DESKTOP_SESSION_ID"),
    *("WSL_DISTRO_NAME", "WSL_INTEROP"),
)
_OUTPUT_ENCODING = "oem" if sys.platform == "win32" else "utf-8"  # of programs that ask nobody
# Where gpurent finds its state; its other variables may be secrets.
STATE_VARIABLES = (
    *("GPURENT_HOME", "GPURENT_CLOCK", "GPURENT_SAFE", "GPURENT_SANDBOX", "GPURENT_LANG"),
    *("GPURENT_STATE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"),
)


def make_child_environment(
    names: Iterable[str], environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the variables ``names`` of ``environment``, and its PATH without relative folders."""
    found = {name: environment[name] for name in names if environment.get(name)}
    return {**found, "PATH": os.pathsep.join(_program_folders(environment))}


def find_program(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the absolute path of a program; None if it is not installed. Relative folders of PATH are skipped."""
    files = [name, f"{name}.exe"] if sys.platform == "win32" else [name]
    folders = [""] if "/" in name or os.sep in name else [f"{one}/" for one in _program_folders(environment)]
    for path in (f"{folder}{file}" for folder in folders for file in files):
        if _is_absolute(path) and os.access(path, os.X_OK) and not os.path.isdir(path):  # noqa: PTH112
            if sys.platform == "win32" and not path.lower().endswith((".exe", ".com")):
                continue  # a script, which would be given to a shell with all its arguments
            return path
    return None


def _program_folders(environment: Mapping[str, str]) -> list[str]:
    given = environment.get("PATH") or os.defpath
    return [folder for folder in given.split(os.pathsep) if _is_absolute(folder)]


def _is_absolute(path: str) -> bool:
    """Return whether a path depends on no current folder; on Windows, on no current drive either."""
    return os.path.isabs(path) and (os.sep == "/" or bool(os.path.splitdrive(path)[0]))  # noqa: PTH117


def make_python_command(*arguments: str) -> list[str]:
    """Return the command line that runs this Python with ``arguments``, isolated.

    It ignores PYTHON variables and the current folder. The user's own site folder counts only if gpurent or a plugin
    of it is installed there.
    """
    if not _is_absolute(sys.executable or ""):
        raise RuntimeError("this Python does not know its own program")
    flags = ("-E", "-P") if _is_in_user_site() else ("-I",)
    return [sys.executable, *flags, *arguments]


def _is_in_user_site() -> bool:
    import site

    folder = site.getusersitepackages()
    return folder in sys.path and any("gpurent" in name for name in os.listdir(folder))  # noqa: PTH208


def start_program(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: str | os.PathLike[str] = FOLDER,
    stdin: int | IO[bytes] = DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
    new_session: bool = False,
) -> StartedProgram:
    """Start ``command`` with exactly ``environment``; raises `FileNotFoundError` if its program is not installed.

    ``stdout`` and ``stderr``: None for our own. ``new_session``: Ctrl-C in our terminal does not reach it.
    """
    import subprocess

    return subprocess.Popen(
        _with_absolute_program(command),
        env=dict(environment),
        cwd=folder,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=pass_fds,
        start_new_session=new_session,
    )


def run_program(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    input_text: str = "",
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` and return its exit code and output. ``timeout`` in seconds.

    Raises `OSError` if it cannot be started, `TimeoutError` if it does not end.
    """
    import subprocess
    import tempfile

    arguments, given = _with_absolute_program(command), input_text.encode()
    # Files, and no pipes: what it starts itself may inherit those, and hold them open for ever.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            done = subprocess.run(
                arguments,
                env=dict(environment),
                cwd=FOLDER,
                input=given,
                stdout=out,
                stderr=err,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{command[0]}: no end within {timeout:g} s") from None
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(_OUTPUT_ENCODING, "replace").replace("\r\n", "\n"))
        return subprocess.CompletedProcess(done.args, done.returncode, *texts)


def run_in_terminal(
    command: Sequence[str], *, environment: Mapping[str, str], secret_pipe: int | None = None
) -> int:
    """Run ``command`` with our own stdin, stdout and stderr; return its exit code. Raises `OSError`.

    ``secret_pipe``: what `make_secret_pipe` returned, open in the child too.
    """
    import subprocess

    arguments, pipes = _with_absolute_program(command), () if secret_pipe is None else (secret_pipe,)
    if sys.platform == "win32":  # handles of ours are inherited only if they were made for that
        return subprocess.call(arguments, env=dict(environment), cwd=FOLDER, close_fds=not pipes)
    else:  # noqa: RET505 - the type checker reads one of them for each system
        return subprocess.call(arguments, env=dict(environment), cwd=FOLDER, pass_fds=pipes)


def spawn_program(command: Sequence[str], environment: Mapping[str, str], pipes: tuple[int, int, int]) -> int:
    """Start ``command`` with ``pipes`` as stdin, stdout and stderr, quickly; return its process id.

    Its working folder is ours, so only for programs that read nothing there. Raises `FileNotFoundError`.
    """
    if sys.platform == "win32":
        raise FileNotFoundError(2, "not on Windows", command[0])
    else:  # noqa: RET506 - the type checker reads one of them for each system
        arguments = _with_absolute_program(command)
        actions = [(os.POSIX_SPAWN_DUP2, pipe, number) for number, pipe in enumerate(pipes)]
        try:
            # A new session, so that what the user types for us (Ctrl-C) does not reach it.
            return os.posix_spawn(arguments[0], arguments, environment, file_actions=actions, setsid=True)
        except NotImplementedError:
            return os.posix_spawn(arguments[0], arguments, environment, file_actions=actions)


def make_secret_pipe(text: str) -> int:
    """Return what a child reads ``text`` from with `read_secret_pipe`; the caller closes it (`close_secret_pipe`).

    Unlike a variable or an argument, it cannot be read by others, and its own children do not inherit it. It is a
    descriptor, on Windows a handle: descriptors are not inherited there.
    """
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(text.encode())  # at most some hundred bytes, which a pipe holds
    if sys.platform == "win32":
        import msvcrt

        handle = msvcrt.get_osfhandle(reader)
        os.set_handle_inheritable(handle, True)
        _windows_pipes[handle] = reader
        return handle
    else:  # noqa: RET505 - the type checker reads one of them for each system
        return reader


_windows_pipes: dict[int, int] = {}


def close_secret_pipe(pipe: int) -> None:
    os.close(_windows_pipes.pop(pipe, pipe))


def read_secret_pipe(pipe: int) -> bytes:
    """Return what the process that started us wrote, empty if that was read before; `OSError` if there is no pipe."""
    if sys.platform == "win32":
        import msvcrt

        pipe = msvcrt.open_osfhandle(pipe, os.O_RDONLY)
    if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
        raise OSError(errno.ESPIPE, "not a pipe")
    return os.read(pipe, 1 << 16)


def _with_absolute_program(command: Sequence[str]) -> list[str]:
    program = find_program(command[0])
    if program is None:
        raise FileNotFoundError(2, "no such program", command[0])
    return [program, *command[1:]]
