"""A push whose login begins as soon as the ledger says where the machine is, beside all that else takes time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.transfer import Push, TransferReport
from gpurent.errors import AuthError, HostKeyChanged, TransferUnsupported, UnavailableError
from gpurent.infra.ssh.target import SshTarget, ssh_target
from gpurent.locale import _
from gpurent.roles.transfer import SupportsPredial
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.steps.transfer_files import transfer_backends, upload


@frozen
class Begun:
    """Who logs in, and where."""

    backend: SupportsPredial
    ssh_target: SshTarget
    hang_up: Callable[[], None]


@contextmanager
def predialled(desk: Desk, lease: Lease | None, cargo: Push, name: str = "") -> Iterator[Begun | None]:
    """The login that a push of ``cargo`` will need is under way, and ended behind the block if nothing took it.

    None where the machine was never entered, or what carries the files (``name``, else the best) cannot do that.
    """
    begun = _dial(desk, lease, cargo, name)
    try:
        yield begun
    finally:
        if begun is not None:
            begun.hang_up()


def _dial(desk: Desk, lease: Lease | None, cargo: Push, name: str) -> Begun | None:
    if lease is None or lease.state is not LeaseState.READY or lease.endpoint is None:
        return None
    way = ssh_target(desk.home / "ssh", lease.id, lease.endpoint)
    backend = next(transfer_backends(desk, name))
    if way is None or not isinstance(backend, SupportsPredial):
        return None
    hang_up = backend.dial(way, cargo)
    return None if hang_up is None else Begun(backend, way, hang_up)


async def push_at_once(
    desk: Desk, line: ReconnectingConnection, cargo: Push, name: str = ""
) -> TransferReport:
    """Push beside the look at the shop, without waiting for ``line``, which stays shut unless it is needed.

    The machine is the one whose host key is pinned, or nothing leaves. What is amiss is left to the usual way, which
    knows how to wait, log in again and what to say.
    """
    lease = line.lease
    with predialled(desk, lease, cargo, name) as begun:
        if begun is None:
            await line.look()
            return await upload(desk, line, cargo, name)
        return await _beside(desk, line, lease, cargo, name, begun)


async def _beside(
    desk: Desk, line: ReconnectingConnection, lease: Lease, cargo: Push, name: str, begun: Begun
) -> TransferReport:
    pushing = asyncio.ensure_future(
        begun.backend.push(begun.ssh_target, cargo, desk.ui.progress(_("upload")))
    )
    try:
        seen = await line.look()
        if (seen.state, seen.endpoint) == (lease.state, lease.endpoint):
            return await pushing
    except TransferUnsupported as error:
        others = [backend for backend in transfer_backends(desk, name) if backend is not begun.backend]
        if not others:
            raise
        desk.tell(EventKind.PROGRESS, error.message)
        return await upload(desk, line, cargo, by=others)
    except (UnavailableError, AuthError, HostKeyChanged):
        pass
    finally:
        await _ended(pushing)
    return await upload(desk, line, cargo, name)


async def _ended(task: asyncio.Future[TransferReport]) -> None:
    """Stopped and heard out, so that nothing of it goes on behind our back."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
