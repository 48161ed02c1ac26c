"""What is on a machine: asked once over an open line, kept on the lease."""

from __future__ import annotations

from attrs import evolve

from gpurent.domain.lease import Lease
from gpurent.domain.machine_facts import MachineFacts
from gpurent.errors import RemoteError
from gpurent.locale import _
from gpurent.ports.connection import SshConnection
from gpurent.remote import machine_facts as script
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.desk import Desk


async def survey(desk: Desk, provider: str, link: SshConnection) -> MachineFacts:
    """Look around; a machine on which the script does not come to its end is a `RemoteError`."""
    data = desk.provider(provider).profile.data
    ran = await link.run(script.command(data), timeout=script.TIMEOUT)
    if not script.whole(ran.out):
        raise RemoteError(
            _("the machine does not say what is on it"), detail=ran.err[:300], hint=_("Look by: gpurent ssh")
        )
    return script.read(ran.out, desk.clock.now(), data)


async def survey_lease(desk: Desk, given: str) -> Lease:
    """Look again, and keep what was found on the lease."""
    line = ReconnectingConnection(desk, desk.lease(given).id)
    try:
        await line.look()
        provider = line.lease.provider
        found = await line.do(lambda link: survey(desk, provider, link))
    finally:
        await line.close()
    while True:
        before = desk.lease(line.lease.id)
        after = evolve(before, found=found)
        if desk.journal.swap_lease(before, after):
            return after
