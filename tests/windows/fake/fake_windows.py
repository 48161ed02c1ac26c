"""A fake Windows for gpurent's modules: what Windows lacks is missing, what it refuses is refused.

Only modules named `gpurent…` see it; their libraries, and Python itself, see the real system. It lies in the
site-packages of a Python of its own, so that isolated children have it too. What Windows has and Linux lacks is in
`windows_api.py`, which stands in for `gpurent.infra.platform.windows.api`.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import stat
import sys
import types
from pathlib import Path
from typing import Any

REAL_API = "gpurent.infra.platform.windows.api"
FAKE_API = Path(__file__).with_name("windows_api.py")
MISSING_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
MISSING = {
    "os": """fork forkpty getuid geteuid getgid getegid getgroups getpgid getpgrp getpriority getresgid getresuid getsid
        setuid seteuid setgid setegid setgroups setpgid setpriority setregid setreuid setsid initgroups killpg nice wait
        wait3 wait4 waitid WNOHANG WIFEXITED WEXITSTATUS WIFSIGNALED WTERMSIG chown fchown lchown fchmod lchmod fchdir
        fdatasync mkfifo mknod major minor makedev pathconf fpathconf sysconf confstr openpty login_tty pread preadv
        pwrite pwritev readv writev sendfile posix_spawn posix_spawnp POSIX_SPAWN_DUP2 posix_fallocate posix_fadvise
        statvfs fstatvfs ST_RDONLY ST_NOSUID uname ttyname tcgetpgrp tcsetpgrp ctermid sync getloadavg
        sched_getaffinity sched_setaffinity memfd_create pidfd_open getxattr setxattr listxattr removexattr chroot lockf
        pipe2 get_blocking set_blocking register_at_fork eventfd splice copy_file_range O_NOFOLLOW O_DIRECTORY O_CLOEXEC
        O_NONBLOCK O_NDELAY O_SYNC O_DSYNC O_ASYNC O_DIRECT O_PATH O_NOATIME O_NOCTTY O_TMPFILE O_ACCMODE fwalk environb
        getenvb""",
    "signal": """SIGHUP SIGKILL SIGALRM SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 SIGWINCH SIGCHLD SIGSTOP SIGTSTP SIGCONT SIGTTIN
        SIGTTOU SIGBUS SIGTRAP alarm setitimer getitimer pause pthread_kill pthread_sigmask sigwait sigpending
        sigtimedwait siginterrupt SIG_BLOCK SIG_SETMASK SIG_UNBLOCK""",
    "select": "poll epoll kqueue EPOLLIN POLLIN",
    "socket": "AF_UNIX AF_NETLINK send_fds recv_fds socketpair TCP_INFO TCP_QUICKACK TCP_CORK SO_REUSEPORT",
    "_socket": "AF_UNIX AF_NETLINK TCP_INFO TCP_QUICKACK TCP_CORK SO_REUSEPORT",
    "asyncio": "open_unix_connection start_unix_server",
}
LOOP_METHODS = ("add_signal_handler", "remove_signal_handler", "add_reader", "remove_reader", "add_writer")
WITH_FOLDER = [
    "open",
    "stat",
    "lstat",
    "mkdir",
    "rmdir",
    "unlink",
    "remove",
    "rename",
    "replace",
    "readlink",
    "symlink",
    "link",
    "chmod",
    "utime",
    "access",
    "scandir",
    "listdir",
]
SHARING_VIOLATION = 32


class FakeModule(types.ModuleType):
    """A module as Windows has it; what is set in it is set in the real one."""

    def __init__(self, real: types.ModuleType, missing: str, **own: Any) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(_real=real, _missing=frozenset(missing.split()), **own)
        self.__spec__ = real.__spec__

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["_missing"]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        return getattr(self.__dict__["_real"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):
            super().__setattr__(name, value)
        else:
            setattr(self.__dict__["_real"], name, value)


def make_error(number: int, path: object, windows: int = 0) -> OSError:
    error = OSError(number, os.strerror(number), str(path))
    error.winerror = windows  # type: ignore[attr-defined]
    return error


def refuse_folders(name: str) -> Any:
    """The function ``name`` of `os` without `dir_fd`, and with paths alone where Windows takes no descriptors."""
    real = getattr(os, name)

    def call(*arguments: Any, **options: Any) -> Any:
        if any(options.pop(key, None) is not None for key in ("dir_fd", "src_dir_fd", "dst_dir_fd")):
            raise NotImplementedError("dir_fd unavailable on this platform")
        if name in ("utime", "chmod", "scandir", "listdir") and arguments and isinstance(arguments[0], int):
            raise TypeError(f"{name}: path should be string, bytes or os.PathLike, not int")
        return real(*arguments, **options)

    return call


def as_windows_tells(status: os.stat_result) -> os.stat_result:
    """Without POSIX permissions, owners and blocks."""
    kind = status.st_mode & 0o170000
    mode = kind | (0o777 if kind == 0o040000 else 0o666 if status.st_mode & 0o200 else 0o444)
    times = {
        f"st_{name}_ns": getattr(status, f"st_{name}_ns") // 100 * 100 for name in ("atime", "mtime", "ctime")
    }
    return os.stat_result((mode, *list(status)[1:4], 0, 0, *list(status)[6:]), times)


def fake_open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    if dir_fd is not None:
        raise NotImplementedError("dir_fd unavailable on this platform")
    if os.path.isdir(path):
        raise make_error(errno.EACCES, path, 5)
    return os.open(path, flags & ~O_TEMPORARY, mode)


def fake_rename(source: Any, target: Any, **options: Any) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    refuse_folders("rename")(source, target, **options)


def fake_rmdir(path: Any, **options: Any) -> None:
    api = sys.modules.get(REAL_API)
    if api is not None and api.is_pinned(os.fspath(path)):
        raise make_error(errno.EACCES, path, SHARING_VIOLATION)
    refuse_folders("rmdir")(path, **options)


def fake_kill(pid: int, number: int) -> None:
    raise AssertionError("os.kill ends a process on Windows, or sends it Ctrl-C, whatever the number is")


O_TEMPORARY = 1 << 29
FAKES: dict[str, types.ModuleType] = {}


def make_fakes() -> None:
    import _socket
    import asyncio
    import select
    import signal
    import socket

    own: dict[str, Any] = {name: refuse_folders(name) for name in WITH_FOLDER}
    for name in ("stat", "lstat"):
        own[name] = lambda *given, _real=own[name], **options: as_windows_tells(_real(*given, **options))
    own |= {
        "open": fake_open,
        "rename": fake_rename,
        "rmdir": fake_rmdir,
        "fstat": lambda handle: as_windows_tells(os.fstat(handle)),
        "kill": fake_kill,
        "name": "nt",
        "O_BINARY": 0,
        "O_NOINHERIT": os.O_CLOEXEC,
        "O_TEMPORARY": O_TEMPORARY,
        "set_handle_inheritable": os.set_inheritable,
        "supports_bytes_environ": False,
    }
    FAKES["os"] = FakeModule(os, MISSING["os"], **own)
    FAKES["sys"] = FakeModule(sys, "", platform="win32", getwindowsversion=lambda: (10, 0, 19045))
    FAKES["signal"] = FakeModule(signal, MISSING["signal"], SIGBREAK=signal.SIGTTIN, CTRL_C_EVENT=0)
    tags = {"IO_REPARSE_TAG_SYMLINK": 0xA000000C, "IO_REPARSE_TAG_MOUNT_POINT": 0xA0000003}
    FAKES["stat"] = FakeModule(stat, "", **tags)
    for real in (select, socket, _socket, asyncio):
        FAKES[real.__name__] = FakeModule(real, MISSING[real.__name__])
    FAKES["msvcrt"] = types.ModuleType("msvcrt")
    FAKES["msvcrt"].__dict__.update(
        get_osfhandle=lambda file: file, open_osfhandle=lambda handle, flags: handle
    )
    patch_paths()
    from asyncio import unix_events

    loop = unix_events._UnixSelectorEventLoop
    for name in LOOP_METHODS:
        setattr(loop, name, refuse_gpurent(getattr(loop, name)))


def patch_paths() -> None:
    """`pathlib` is nobody's module of ours: only what our modules ask of it is as on Windows."""
    import pathlib

    real = pathlib.Path.rename

    def rename(path: Path, target: Any) -> Any:
        if str(sys._getframe(1).f_globals.get("__name__", "")).startswith("gpurent") and os.path.lexists(
            target
        ):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        return real(path, target)

    setattr(pathlib.Path, "rename", rename)  # noqa: B010 - of another signature


def refuse_gpurent(real: Any) -> Any:
    """A method of the event loop that Windows' own does not have."""

    def call(*arguments: Any) -> Any:
        if str(sys._getframe(1).f_globals.get("__name__", "")).startswith("gpurent"):
            raise NotImplementedError
        return real(*arguments)

    return call


def fake_import(
    name: str,
    globals: Any = None,
    locals: Any = None,
    fromlist: Any = (),
    level: int = 0,
) -> Any:
    if not FAKES:
        make_fakes()
    if level == 0:
        if name in MISSING_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in FAKES:
            return FAKES[name]
        if name.startswith("os.") and not fromlist:
            return FAKES["os"]
        if name.startswith("asyncio.") and not fromlist:
            importlib.import_module(name)
            return FAKES["asyncio"]
    return builtins.__import__(name, globals, locals, fromlist, level)


class FakeLoader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": fake_import}
        code: Any = self.get_code(module.__name__)
        exec(code, module.__dict__)


class FakeFinder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name == REAL_API:
            return importlib.util.spec_from_file_location(name, FAKE_API)
        if name.partition(".")[0] != "gpurent" and not name.startswith("gpurent_plugin_"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = FakeLoader(spec.loader.name, spec.loader.path)
        return spec


os.environ["FAKE_WINDOWS"] = "1"
sys.meta_path.insert(0, FakeFinder())
