"""Connecting to a lease's machine by a command of its own: the answer to a question that nobody was there for."""

from __future__ import annotations

from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.errors import LeaseError
from gpurent.ports.connection import Connector
from gpurent.workflow.connection.ownership import OwnershipProof
from gpurent.workflow.runtime.leases import LeaseTracker, add_burning_lease, not_running_error


@frozen(kw_only=True)
class ContactedMachine:
    """``fingerprint`` is that of the pinned host key."""

    lease: str
    endpoint: Endpoint
    fingerprint: str


@frozen
class ContactCommands:
    leases: LeaseTracker
    connector: Connector
    ownership: OwnershipProof

    async def connect(self, lease_id: str, fingerprint: str = "") -> ContactedMachine:
        """Log in to the machine, after asking where that is due, and hang up; its host key is pinned from then on.

        ``fingerprint`` answers the question: the machine must show this host key. Raises `HostKeyChanged` if it does
        not, and `InputRequired` if only a person can answer and nobody is there.
        """
        lease = await self.leases.try_refresh_lease((await self.leases.get_lease(lease_id)).id)
        if lease.is_over or lease.endpoint is None:
            raise not_running_error(lease)
        try:
            connection = await self.ownership.open_connection(lease, lease.endpoint, fingerprint=fingerprint)
        except LeaseError as error:
            raise add_burning_lease(error, lease) from None
        await connection.close()
        pinned = self.connector.find_pinned_host_key(lease.id, lease.endpoint)
        shown = pinned.fingerprint if pinned is not None else ""
        return ContactedMachine(lease=lease.id, endpoint=lease.endpoint, fingerprint=shown)
