"""Step: be someone to the provider, and reachable by its mail where it needs that."""

from __future__ import annotations

from datetime import timedelta

from gpurent.domain.events import EventKind
from gpurent.domain.order import Payment
from gpurent.errors import AuthError
from gpurent.locale import _
from gpurent.roles.lease import Binding, SupportsMailBinding
from gpurent.workflow.payments.pay import pay
from gpurent.workflow.runtime.durable_steps import TripContext

POLL = timedelta(seconds=15)
PATIENCE = timedelta(minutes=30)


async def login(trail: TripContext, provider: str) -> str:
    """The account's name at ``provider``."""
    entry = trail.desk.provider(provider)

    async def enter() -> str:
        return (await trail.desk.accounts.ensure(entry.auth)).account

    account = await trail.once("login", str, enter)
    await _bind_mail(trail, provider)
    return account


async def _bind_mail(trail: TripContext, provider: str) -> None:
    desk = trail.desk
    shop = desk.shop(provider)
    if not isinstance(shop, SupportsMailBinding):
        return

    # Recorded only once an address is bound, so a resumed walk asks the shop again until then.
    if desk.journal.recall(trail.trip, "bind", str) is not None or await shop.bound():
        return

    async def request() -> Binding:
        email = desk.setting("mail", "address") or desk.setting("imap", "user")
        if not email:
            email = desk.need(_("Your e-mail address (codes and SSH access come by mail)"))
        return await shop.request_binding(email, f"{trail.trip}-bind")

    binding = await trail.once("bind.request", Binding, request)
    payment = None
    if binding.bill is not None:
        payment = await pay(trail, "bind.pay", provider, binding.bill, ceiling=None)

    await trail.once("bind", str, lambda: _finish(trail, shop, binding, payment))


async def _finish(
    trail: TripContext, shop: SupportsMailBinding, binding: Binding, payment: Payment | None
) -> str:
    waited = timedelta()
    state = binding
    while True:
        state = await shop.bind(state, payment)
        if state.done:
            return state.email
        if waited > PATIENCE:
            raise AuthError(
                _("the address {email} was not confirmed in time").format(email=state.email),
                hint=_("Try again later with: gpurent resume {trip}").format(trip=trail.trip),
                retryable=True,
            )
        trail.tell(EventKind.WAITING, _("waiting for {email} to be bound").format(email=state.email))
        await trail.desk.pace(POLL)
        waited += POLL
