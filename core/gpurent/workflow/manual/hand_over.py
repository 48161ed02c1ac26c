"""Step: the user rents on the shop's page; its SSH line comes back by mail or by paste."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.mail import Mail
from gpurent.domain.money import UnitPrice
from gpurent.domain.offer import Metered
from gpurent.domain.secret import Secret
from gpurent.domain.terminal_text import strip_terminal
from gpurent.domain.terms import Terms
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, InputRequired, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.locale.prices import parse_price
from gpurent.roles.assisted import Access, AssistedRental, Instructions, ManualTask
from gpurent.workflow.manual.adopt import Handed, take_over
from gpurent.workflow.manual.instructions import assisted, guide_of, send
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.mail import ConfiguredMailReader

LOOK = timedelta(seconds=5)
PATIENCE = timedelta(minutes=10)
# A mail's clock is another one.
SLACK = timedelta(minutes=2)
TRIES = 3


@frozen(kw_only=True)
class Asked:
    """When the user was first sent to the page: older mails are of other leases."""

    at: datetime
    price: UnitPrice


async def hand_over(trail: TripContext, want: TripSpec, lease_id: str) -> Lease:
    """A machine that the user rented by hand, taken over. Interrupted, it asks again; nothing is rented twice by us."""
    desk, provider = trail.desk, want.provider

    async def ask() -> Asked:
        return Asked(at=desk.clock.now(), price=want.declared.price if want.declared else _price(trail))

    asked = await trail.once("price", Asked, ask, quiet=True)

    async def take() -> str:
        known = desk.journal.lease(lease_id)
        if known is not None:
            return known.id
        guide = guide_of(desk, provider, ManualTask.RENT)
        await send(desk, provider, guide, trip=trail.trip)
        access = await _access(trail, provider, guide, asked.at)
        terms = Terms(tariff=Metered(price=asked.price), at=desk.clock.now())
        if want.declared is not None:
            terms = evolve(want.declared, at=desk.clock.now())
        own = None if access.password else _own_key(desk)
        handed = Handed(provider=provider, access=access, terms=terms, own=own)
        return (await take_over(desk, lease_id, handed)).id

    await trail.once("by-hand", str, take)
    return desk.lease(lease_id)


def _price(trail: TripContext) -> UnitPrice:
    label = _("What does the machine cost? (3.5CNY/h; 0 for nothing)")
    for _try in range(TRIES):
        text = trail.desk.need(label, hint=_resume(trail) + " --price")
        try:
            return parse_price(text)
        except ValueError:
            trail.tell(EventKind.WARNING, _("that is no price; write it so: 3.5CNY/h"))
    raise UsageError(_("no price was given"), hint=_("Give it with: --price 3.5CNY/h"))


def _resume(trail: TripContext) -> str:
    return _("Nothing was spent. Go on with: gpurent resume {trip}").format(trip=trail.trip)


async def _access(trail: TripContext, provider: str, guide: Instructions, since: datetime) -> Access:
    desk, helper = trail.desk, assisted(trail.desk, provider)
    if helper is not None and guide.sender and ConfiguredMailReader(desk).available:
        found = await _from_mail(trail, helper, guide, since)
        if found is not None:
            return found
    return _from_person(trail, helper)


async def _from_mail(
    trail: TripContext, helper: AssistedRental, guide: Instructions, since: datetime
) -> Access | None:
    """The access that exactly one machine's mails tell; None when none came in time, or several."""
    trail.tell(EventKind.WAITING, _("waiting for the mail with the SSH line (Ctrl-C leaves)"))
    waited = timedelta()
    while waited < PATIENCE:
        try:
            found = await _look(trail.desk, helper, guide, since)
        except UnavailableError:
            found = []
        except GpurentError as error:
            trail.tell(EventKind.WARNING, error.message)
            return None
        if len(found) == 1:
            return found[0]
        if found:
            many = ", ".join(str(access.endpoint) for access in found)
            trail.tell(EventKind.WARNING, _("the mails tell of several machines: {many}").format(many=many))
            return None
        await trail.desk.pace(LOOK)
        waited += LOOK
    return None


async def _look(desk: Desk, helper: AssistedRental, guide: Instructions, since: datetime) -> list[Access]:
    after = (since - SLACK).replace(microsecond=0)
    mails = await ConfiguredMailReader(desk).search(since=after, sender=guide.sender, subject=guide.subject)
    leases = desk.journal.leases()
    refs = {lease.ref for lease in leases if lease.ref}
    places = {lease.endpoint for lease in leases if lease.endpoint is not None and not lease.over}
    fresh = [mail for mail in mails if mail.at >= after]
    return [
        access
        for access in accesses(fresh, helper, guide)
        if access.ref not in refs and access.endpoint not in places
    ]


def accesses(mails: Iterable[Mail], helper: AssistedRental, guide: Instructions) -> list[Access]:
    """What mails of exactly the shop's address tell: one access for each machine, by its newest mail."""
    found: dict[Endpoint, Access] = {}
    for mail in sorted(mails, key=lambda mail: mail.at):
        if mail.sender == guide.sender.lower() and guide.subject in mail.subject:
            access = helper.access(mail)
            if access is not None:
                found[access.endpoint] = access
    return list(found.values())


def _from_person(trail: TripContext, helper: AssistedRental | None) -> Access:
    """What the user pastes: the line alone, or with the password as the shop writes it."""
    desk = trail.desk
    for _try in range(TRIES):
        line = desk.need(_("The line with ssh, as the page shows it"), hint=_resume(trail)).strip()
        mail = Mail(uid="", at=desk.clock.now(), sender="", subject="", text=line)
        access = helper.access(mail) if helper is not None else None
        if access is not None:
            return access
        try:
            endpoint = Endpoint.parse(line)
        except UsageError as error:
            trail.tell(EventKind.WARNING, strip_terminal(f"{error.message} {error.hint}"))
            continue
        given = desk.ui.ask(_("The machine's password (empty: a key file)"), secret=True)
        return Access(endpoint=endpoint, password=Secret(given) if given else None)
    raise InputRequired(_("no SSH line was given"), hint=_resume(trail), retryable=True)


def _own_key(desk: Desk) -> Any:
    from gpurent.infra.ssh.key_file import load_key

    path = desk.need(_("The private key file that lets you in"))

    def passphrase() -> Secret | None:
        given = desk.ui.ask(_("The passphrase of {path}").format(path=path), secret=True)
        return Secret(given) if given else None

    return load_key(Path(path).expanduser(), passphrase)
