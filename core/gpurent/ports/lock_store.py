"""The part of the Store for locks: by name, across processes and tasks, released by their holder's death."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gpurent.domain.locks import LockOwner


class LockStore(Protocol):
    """Locks, and the sessions that hold them."""

    def hold_lock(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock ``name`` while the block runs; raises `BusyError` at once if anybody else holds it.

        The outermost lock of a task opens a session: the task, and all tasks that are begun inside the block, read and
        write through it, and hold further locks in it. Each of their writes is refused with `LockLost`, and changes
        nothing, if another process has taken one of the locks around it meanwhile. Nothing can be written by a task
        that goes on after the block. Locks are not reentrant.
        """

    async def require_locks(self) -> None:
        """Raise `LockLost` if another process has taken one of the locks around the caller.

        Raises `StorageError` if the Store's file was moved or deleted: whatever waits would go on with what nobody else
        knows any more.
        """

    async def find_lock_owner(self, name: str) -> LockOwner | None:
        """Return who holds the lock; None if nobody does."""

    async def find_last_holder(self, name: str) -> LockOwner | None:
        """Return who took the lock last, whether it is still held or not; None if nobody ever did."""
