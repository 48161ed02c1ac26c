"""Files below a folder, on the system that this is."""

import sys

from gpurent.ports.local_files import LocalFiles

if sys.platform == "win32":
    from gpurent.infra.platform.windows.local_files import WindowsFiles as _SystemFiles
else:
    from gpurent.infra.platform.posix.local_files import PosixFiles as _SystemFiles


def make_local_files() -> LocalFiles:
    """Return the access to the files of this computer."""
    return _SystemFiles()
