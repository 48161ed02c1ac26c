"""A push whose login begins as soon as the ledger says where the machine is, beside all that else takes time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import frozen

from gpurent.adapters.ssh_door import Door, door
from gpurent.errors import AuthError, HostKeyChanged, TransferUnfit, UnavailableError
from gpurent.locale import _
from gpurent.model.cargo import Push, TransferReport
from gpurent.model.events import EventKind
from gpurent.model.lease import Lease, LeaseState
from gpurent.ports.transfer import EarlyTransfer
from gpurent.workflow.desk import Desk
from gpurent.workflow.machine.line import Line
from gpurent.workflow.transfer import carry_up, couriers


@frozen
class Begun:
    """Who logs in, and where."""

    backend: EarlyTransfer
    door: Door
    hang_up: Callable[[], None]


@contextmanager
def dialled(desk: Desk, lease: Lease | None, cargo: Push, name: str = "") -> Iterator[Begun | None]:
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
    way = door(desk.home / "ssh", lease.id, lease.endpoint)
    backend = next(couriers(desk, name))
    if way is None or not isinstance(backend, EarlyTransfer):
        return None
    hang_up = backend.dial(way, cargo)
    return None if hang_up is None else Begun(backend, way, hang_up)


async def push_at_once(desk: Desk, line: Line, cargo: Push, name: str = "") -> TransferReport:
    """Push beside the look at the shop, without waiting for ``line``, which stays shut unless it is needed.

    The machine is the one whose host key is pinned, or nothing leaves. What is amiss is left to the usual way, which
    knows how to wait, log in again and what to say.
    """
    lease = line.lease
    with dialled(desk, lease, cargo, name) as begun:
        if begun is None:
            await line.look()
            return await carry_up(desk, line, cargo, name)
        return await _beside(desk, line, lease, cargo, name, begun)


async def _beside(
    desk: Desk, line: Line, lease: Lease, cargo: Push, name: str, begun: Begun
) -> TransferReport:
    pushing = asyncio.ensure_future(begun.backend.push(begun.door, cargo, desk.ui.progress(_("upload"))))
    try:
        seen = await line.look()
        if (seen.state, seen.endpoint) == (lease.state, lease.endpoint):
            return await pushing
    except TransferUnfit as error:
        others = [backend for backend in couriers(desk, name) if backend is not begun.backend]
        if not others:
            raise
        desk.tell(EventKind.PROGRESS, error.message)
        return await carry_up(desk, line, cargo, by=others)
    except (UnavailableError, AuthError, HostKeyChanged):
        pass
    finally:
        await _ended(pushing)
    return await carry_up(desk, line, cargo, name)


async def _ended(task: asyncio.Future[TransferReport]) -> None:
    """Stopped and heard out, so that nothing of it goes on behind our back."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
