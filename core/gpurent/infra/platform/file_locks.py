"""Locks between processes, on the system that this is."""

import sys

if sys.platform == "win32":
    from gpurent.infra.platform.windows.file_locks import (
        FileLock as FileLock,
        FileLocks as FileLocks,
        hold_file_lock as hold_file_lock,
    )
else:
    from gpurent.infra.platform.posix.file_locks import (
        FileLock as FileLock,
        FileLocks as FileLocks,
        hold_file_lock as hold_file_lock,
    )
