"""Sessions on a connection, also where the machine allows only one at a time on each: the others log in once more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import asyncssh
from attrs import define, field

from gpurent.domain.access import Endpoint
from gpurent.errors import RemoteError, UnavailableError
from gpurent.locale import _
from gpurent.locale.foreign_text import quote_text

T = TypeVar("T")
CLOSE_TIMEOUT = 2.0
DIAL_TRIES, DIAL_PAUSE = 3, 1.0
_PTY_REFUSED = "PTY request failed"  # asyncssh's words for an answer of the server


@define(eq=False)
class Sessions:
    """Opens sessions on ``transport``, and on spare connections of ``redial`` once the machine allows no further one.

    ``redial`` None: there is no way to log in again.
    """

    endpoint: Endpoint
    transport: asyncssh.SSHClientConnection
    redial: Callable[[], Awaitable[asyncssh.SSHClientConnection]] | None = None
    is_limited: bool = False
    """Whether the machine has refused a session because another one was open."""
    _idle: list[asyncssh.SSHClientConnection] = field(factory=list)
    _spares: list[asyncssh.SSHClientConnection] = field(factory=list)

    @contextlib.asynccontextmanager
    async def open_process(
        self, line: str | None, *, term_type: str | None = None, term_size: tuple[int, int] = (0, 0)
    ) -> AsyncIterator[asyncssh.SSHClientProcess[bytes]]:
        """Run ``line`` (None: the login shell) in a session of its own; it is left open at the end.

        With a ``term_type``, it has a terminal of ``term_size``, columns and rows.

        Raises `RemoteError` if the machine opens no session at all, else as asyncssh does.
        """

        async def start(transport: asyncssh.SSHClientConnection) -> asyncssh.SSHClientProcess[bytes]:
            return await transport.create_process(
                line, term_type=term_type, term_size=term_size, encoding=None
            )

        try:
            process = await start(self.transport)
        except asyncssh.ChannelOpenError as error:
            if term_type and _PTY_REFUSED in error.reason:
                raise self._make_pty_error() from None
            async with self.reopen_session(error, start) as process:
                yield process
            return
        yield process

    @contextlib.asynccontextmanager
    async def reopen_session(
        self,
        refusal: asyncssh.ChannelOpenError,
        start: Callable[[asyncssh.SSHClientConnection], Awaitable[T]],
    ) -> AsyncIterator[T]:
        """Open by ``start`` a session that the machine refused, on a connection that is its own for the block.

        Raises ``refusal`` itself if it means that the connection was lost, `RemoteError` if it is refused there too.
        """
        if self.transport.is_closed():
            raise refusal
        self.is_limited = True
        spare, session = await self._start_on_spare(refusal, start)
        try:
            yield session
        finally:
            self._idle.append(spare)

    async def _start_on_spare(
        self,
        refusal: asyncssh.ChannelOpenError,
        start: Callable[[asyncssh.SSHClientConnection], Awaitable[T]],
    ) -> tuple[asyncssh.SSHClientConnection, T]:
        idle, self._idle = [spare for spare in self._idle if not spare.is_closed()], []
        for number, spare in enumerate(idle):
            with contextlib.suppress(asyncssh.ChannelOpenError):  # its last session has not quite ended
                session = await start(spare)
                self._idle += idle[number + 1 :]
                return spare, session
            self._idle.append(spare)
        if self.redial is None:
            raise self._make_refusal(refusal)
        spare = await self._dial_spare(self.redial)
        try:
            return spare, await start(spare)
        except asyncssh.ChannelOpenError as again:
            raise self._make_refusal(again) from None

    async def _dial_spare(
        self, redial: Callable[[], Awaitable[asyncssh.SSHClientConnection]]
    ) -> asyncssh.SSHClientConnection:
        for tries_left in range(DIAL_TRIES - 1, -1, -1):
            try:
                spare = await redial()
            except UnavailableError as error:
                if not tries_left:
                    raise RemoteError(
                        _("{endpoint} allows no further session, and no second connection: {why}").format(
                            endpoint=self.endpoint, why=error.message
                        ),
                        detail=error.detail,
                    ) from None
                await asyncio.sleep(DIAL_PAUSE)
            else:
                self._spares.append(spare)
                return spare
        raise AssertionError

    def _make_pty_error(self) -> RemoteError:
        return RemoteError(
            _("the SSH server of {endpoint} allows no terminal").format(endpoint=self.endpoint),
            hint=_(
                "Its PermitTTY, or a rule for this user, forbids it. Commands work without one: gpurent exec LEASE -- "
                "COMMAND"
            ),
        )

    def _make_refusal(self, error: asyncssh.ChannelOpenError) -> RemoteError:
        return RemoteError(
            _("{endpoint} accepts the login, but opens no session: {said}").format(
                endpoint=self.endpoint, said=quote_text(error.reason)
            ),
            hint=_("Its SSH server's MaxSessions, or a rule for this user, may forbid it."),
            detail=error.reason,
        )

    async def close(self) -> None:
        """Close every connection, without waiting long for a machine that does not answer."""
        made = [self.transport, *self._spares]
        for transport in made:
            transport.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                for transport in made:
                    await transport.wait_closed()
        except (TimeoutError, OSError, asyncssh.Error):
            for transport in made:
                transport.abort()
