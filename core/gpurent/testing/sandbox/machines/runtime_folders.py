"""Runtime folders of the machines: sockets, named pipes, logs."""

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from gpurent.testing.sandbox.machines.disks import remove_tree

_MAX_PATH_BYTES = 40
"""A Unix socket's path may have 107 bytes, and screen adds a folder, a process id and a long name."""


class RuntimeFolders:
    """One folder per machine, named after the process that made it; folders of dead processes are removed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._base = _make_base_folder(root)
        for left in self._base.iterdir():
            if not _is_alive(left.name.partition("-")[0]):
                remove_tree(left)

    def make_folder(self) -> tuple[str, Path]:
        """Return a new machine id and its folder (0700)."""
        machine_id = f"m{secrets.token_hex(3)}"
        path = _make_base_folder(self._root) / f"{os.getpid()}-{machine_id}"
        path.mkdir(mode=0o700)
        return machine_id, path

    def close(self) -> None:
        """Remove the base folder, unless another process still uses it."""
        with contextlib.suppress(OSError):
            self._base.rmdir()


def _make_base_folder(root: Path) -> Path:
    base = root / "run"
    if len(os.fsencode(base)) > _MAX_PATH_BYTES:
        mark = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:8]
        base = Path(f"/tmp/gpr{os.getuid()}-{mark}")  # noqa: S108  owner and mode are checked below
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o700)
    status = base.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o170077 != 0o040000:
        raise PermissionError(f"{base} is not a folder of our own")
    return base


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        return True
    return True
