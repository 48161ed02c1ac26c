"""From an SSH line to a lease like any other."""

from __future__ import annotations

import hmac
from typing import Any

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.machine_facts import MachineFacts
from gpurent.domain.offer import Hardware, Offer
from gpurent.domain.terms import Terms
from gpurent.errors import GpurentError, HostKeyChanged, UsageError
from gpurent.locale import _
from gpurent.roles.assisted import Access
from gpurent.workflow.connection.machine_facts import survey
from gpurent.workflow.runtime.desk import Desk


@frozen(kw_only=True)
class Handed:
    """What the user brings. ``own``: a private key that lets us in; ``fingerprint``: what the host key must be."""

    provider: str
    access: Access
    terms: Terms
    fingerprint: str = ""
    own: Any = None


async def take_over(desk: Desk, lease_id: str, handed: Handed) -> Lease:
    """Pin the host key, let ourselves in, look around, and write the lease down. Spends nothing; idempotent.

    Another host key than ``fingerprint`` is `HostKeyChanged`, and nothing secret was sent.
    """
    known = desk.journal.lease(lease_id)
    if known is not None:
        return known
    _must_be_new(desk, handed)
    vault, ref = desk.vault.scoped(handed.provider), f"password-{lease_id}"
    password = handed.access.password
    try:
        await _pin(desk, lease_id, handed)
        link = await desk.ssh.open(lease_id, handed.access.endpoint, password, handed.own)
    except BaseException:
        desk.ssh.drop(lease_id)
        raise
    try:
        found = await _look(desk, handed.provider, link)
    finally:
        await link.aclose()
    if password is not None:
        desk.redactor.register(password)
        vault.put(ref, password)
    return desk.keep(_lease(desk, lease_id, handed, found, ref if password else ""))


def _must_be_new(desk: Desk, handed: Handed) -> None:
    endpoint = handed.access.endpoint
    for lease in desk.journal.leases():
        if lease.over or lease.endpoint is None:
            continue
        if (lease.endpoint.address, lease.endpoint.port) == (endpoint.address, endpoint.port):
            raise UsageError(
                _("{endpoint} is {lease} already").format(endpoint=endpoint, lease=lease.id),
                hint=_("See: gpurent show {lease}").format(lease=lease.id),
            )


async def _pin(desk: Desk, lease_id: str, handed: Handed) -> None:
    shown = await desk.ssh.pin(lease_id, handed.access.endpoint)
    if not handed.fingerprint:
        text = _("The machine shows the host key {fingerprint}; trusted on first use, pinned from here on.")
        desk.tell(EventKind.HOST_KEY, text.format(fingerprint=shown), lease=lease_id)
        return
    if not hmac.compare_digest(handed.fingerprint.rstrip("=").encode(), shown.encode()):
        raise HostKeyChanged(
            _("{endpoint} shows the host key {shown}, not {expected}").format(
                endpoint=handed.access.endpoint, shown=shown, expected=handed.fingerprint
            ),
            hint=_(
                "Somebody may be in between, or the fingerprint is another machine's. No password was sent."
            ),
        )
    text = _("The machine shows the host key {fingerprint}, as you said.")
    desk.tell(EventKind.HOST_KEY, text.format(fingerprint=shown), lease=lease_id)


async def _look(desk: Desk, provider: str, link: Any) -> MachineFacts | None:
    """Best effort: a machine that says nothing of itself is taken all the same."""
    try:
        return await survey(desk, provider, link)
    except GpurentError as error:
        desk.tell(EventKind.WARNING, error.message)
        return None


def _lease(desk: Desk, lease_id: str, handed: Handed, found: MachineFacts | None, ref: str) -> Lease:
    terms = handed.terms
    cards = found.cards if found is not None else ()
    hardware = Hardware(
        gpu=cards[0].name if cards else "",
        gpus=len(cards),
        gpu_memory=cards[0].memory // 1024 if cards else 0,
        cpus=found.cpus if found else 0,
        memory=found.memory // 1024 if found else 0,
    )
    endpoint = handed.access.endpoint
    offer = Offer(
        key=f"{endpoint.host}:{endpoint.port}",
        provider=handed.provider,
        hardware=hardware,
        tariff=terms.tariff,
    )
    return Lease(
        id=lease_id,
        provider=handed.provider,
        offer=offer,
        state=LeaseState.READY,
        ref=handed.access.ref,
        label=lease_id,
        endpoint=endpoint,
        password_ref=ref,
        started_at=terms.at,
        expires_at=terms.ends(terms.at),
        declared=terms,
        found=found,
        note=_("taken over by hand"),
    )
