"""Sessions: what holds locks, and writes under them, on one connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define

from gpurent.errors import BusyError, LockLost, StorageError
from gpurent.infra.platform.file_locks import FileLock, FileLocks
from gpurent.infra.sqlite.database import Database
from gpurent.infra.sqlite.lock_rows import find_owner, find_token, record_owner
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.domain.locks import LockOwner

# Whoever asks for a lock's holder takes its file for a moment.
_RETRY_SECONDS = 0.02


@define(eq=False)
class _HeldLock:
    """A lock that a task holds; ``database`` is its session's connection.

    ``is_recorded`` false: the disk was full or could not be written. The next write records the lock, unless another
    process has done so since.
    """

    sessions: Sessions
    name: str
    taken_at: str
    database: Database
    token: int = 0
    is_recorded: bool = False
    is_released: bool = False


# The locks around the running code, the outermost first, of all Stores of this process.
_held_locks: ContextVar[tuple[_HeldLock, ...]] = ContextVar("_held_locks", default=())


class Sessions:
    """The connections of one Store: a shared one, and one for each session.

    Reads and writes through the session of the locks that are held around the caller, which may be none. Implements
    `gpurent.infra.sqlite.sql_access.TableAccess`.
    """

    def __init__(
        self,
        shared: Database,
        open_connection: Callable[[], AbstractContextManager[Database]],
        files: FileLocks,
        command: str,
    ) -> None:
        self._shared = shared
        self._open_connection = open_connection
        self._files = files
        self._command = command

    def close(self) -> None:
        self._shared.close()

    @asynccontextmanager
    async def hold_lock(self, name: str, taken_at: Callable[[], str]) -> AsyncIterator[None]:
        """Implements `gpurent.ports.lock_store.LockStore.hold_lock`."""
        file = await self._take_file(name)
        try:
            with self._join_session() as database:
                lock = _HeldLock(self, name, taken_at(), database)
                self._record(lock)
                around = _held_locks.get()
                _held_locks.set((*around, lock))
                try:
                    yield
                finally:
                    lock.is_released = True
                    _held_locks.set(around)
        finally:
            file.release()

    def _record(self, lock: _HeldLock) -> None:
        try:
            with self.write_transaction():
                token = self._record_owner(lock)
        except StorageError:
            lock.token = find_token(self, lock.name)
        else:
            lock.token, lock.is_recorded = token, True

    def _record_owner(self, lock: _HeldLock) -> int:
        return record_owner(self, lock.name, self._command, lock.taken_at)

    def find_lock_owner(self, name: str) -> LockOwner | None:
        file = self._files.take(name)
        if file is None:
            return find_owner(self, name)
        file.release()
        return None

    def find_last_holder(self, name: str) -> LockOwner | None:
        return find_owner(self, name) if find_token(self, name) else None

    async def _take_file(self, name: str) -> FileLock:
        file = self._files.take(name)
        if file is None:
            import asyncio  # lazy: listings hold no lock

            await asyncio.sleep(_RETRY_SECONDS)
            file = self._files.take(name)
        if file is None:
            raise _make_busy_error(name, find_owner(self, name).describe())
        return file

    @contextmanager
    def _join_session(self) -> Iterator[Database]:
        """Yield the connection of the session around the caller; without one, open a session."""
        held = self._list_held()
        if held:
            yield held[0].database
            return
        with self._open_connection() as database:
            yield database

    def _list_held(self) -> tuple[_HeldLock, ...]:
        return tuple(lock for lock in _held_locks.get() if lock.sessions is self)

    def _find_connection(self, held: Sequence[_HeldLock]) -> Database:
        return held[0].database if held and not held[0].is_released else self._shared

    @contextmanager
    def write_transaction(self) -> Iterator[None]:
        """Run the block in one transaction; raises `LockLost` if a lock around the caller was taken by others."""
        held = self._list_held()
        with self._find_connection(held).write_transaction():
            self.require_locks()
            late = [(lock, self._record_owner(lock)) for lock in held if not lock.is_recorded]
            yield
        for lock, token in late:
            lock.token, lock.is_recorded = token, True

    def write_snapshot(self, path: Path) -> None:
        """Write everything into the new file ``path``."""
        self._shared.write_snapshot(path)

    def require_in_place(self) -> None:
        """Raise `StorageError` if the file was moved or deleted, which only writes find out by themselves."""
        self._find_connection(self._list_held()).require_in_place()

    def require_locks(self) -> None:
        """Raise `LockLost` if a lock around the caller was taken by others."""
        for lock in self._list_held():
            if lock.is_released:
                raise RuntimeError(f"this work went on after the lock {lock.name} was released")
            if find_token(self, lock.name) != lock.token:
                raise _make_lost_error(lock.name, find_owner(self, lock.name).describe())

    def execute(self, sql: str, values: Sequence[object] = ()) -> int:
        return self._find_connection(self._list_held()).execute(sql, values)

    def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        self._find_connection(self._list_held()).execute_many(sql, rows)

    def fetch_rows(self, sql: str, *values: object) -> list[Any]:
        return self._find_connection(self._list_held()).fetch_rows(sql, *values)


def _make_busy_error(name: str, owner: str) -> BusyError:
    return BusyError(_("{name} is in use by {owner}").format(name=name, owner=owner), owner=owner)


def _make_lost_error(name: str, owner: str) -> LockLost:
    return LockLost(
        _("{name} was taken over by {owner}, because this process had stopped").format(
            name=name, owner=owner
        ),
        owner=owner,
        hint=_("This command has written nothing since. See: gpurent trips, gpurent ls"),
    )
