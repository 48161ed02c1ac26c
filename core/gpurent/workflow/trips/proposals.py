"""What the user is shown and asked before money leaves: the machine, its price, and when the cost ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.money_text import format_price_range
from gpurent.domain.offer import Metered, Offer, Order, OrderKind, Quote
from gpurent.domain.spending import SpendingProposal
from gpurent.domain.trip import TripPlan, TripSpec
from gpurent.locale import _, join_clauses
from gpurent.locale.durations import format_duration
from gpurent.workflow.payments.budgets import BudgetLimit
from gpurent.workflow.payments.quotes import Funding


def propose_plan(
    plan: TripPlan,
    spec: TripSpec,
    funding: Funding,
    limits: Sequence[BudgetLimit],
    upload: Sequence[str],
    *,
    binds_mail: bool,
) -> SpendingProposal:
    """Return the proposal for a whole trip; ``upload`` describes what would be uploaded, in lines."""
    main = plan.legs[-1].order
    lines = [_format_machine(main.offer)]
    if len(plan.legs) > 1:
        lines.append(
            _("First, to upload: {machine}").format(machine=_format_machine(plan.legs[0].order.offer))
        )
    lines += [*_format_interruption(main.offer), *_format_cost(main, plan.quote)]
    if binds_mail:
        lines.append(_("Your e-mail address is bound first; the provider's e-mail states the cost."))
    lines += [_format_limits(funding.balance, limits), _format_end(spec, main), *upload]
    return _make_proposal(main.offer, plan.quote, _("Rent this machine?"), lines)


def propose_order(
    order: Order, funding: Funding, limits: Sequence[BudgetLimit], lease: Lease | None
) -> SpendingProposal:
    """Return the proposal for a single order; ``lease``: the existing one that it is for."""
    quote = Quote(low=funding.ceiling, high=funding.ceiling, deposit=funding.deposit, rate=funding.rate)
    lines = [_format_machine(order.offer)]
    if lease is not None and order.kind is OrderKind.RENEW and lease.expires_at is not None:
        lines.append(
            _("{lease} is paid until {until:%Y-%m-%d %H:%M} UTC; {span} will be added.").format(
                lease=lease.id, until=lease.expires_at, span=format_duration(order.term or timedelta())
            )
        )
    lines += [
        *_format_interruption(order.offer),
        *_format_cost(order, quote),
        _format_limits(funding.balance, limits),
    ]
    if order.kind is not OrderKind.RENEW:
        lines.append(_("It costs money until you release it or the money runs out."))
    questions = {
        OrderKind.NEW: _("Start this machine?"),
        OrderKind.SWITCH: _("Switch to this machine?"),
        OrderKind.RENEW: _("Renew it?"),
    }
    return _make_proposal(order.offer, quote, questions[order.kind], lines)


def _make_proposal(offer: Offer, quote: Quote, question: str, lines: Sequence[str]) -> SpendingProposal:
    return SpendingProposal(
        price=offer.tariff.price,
        highest=quote.high,
        deposit=quote.deposit,
        question=question,
        details=tuple(lines),
    )


def _format_machine(offer: Offer) -> str:
    return _("{gpu} on machine {machine} at {provider}: {price}").format(
        gpu=offer.hardware.title, machine=offer.key, provider=offer.provider, price=offer.tariff.price
    )


def _format_interruption(offer: Offer) -> list[str]:
    if not offer.spot:
        return []
    return [
        _("It is interrupted, with its job, whenever somebody pays more; only its disk costs money then.")
    ]


def _format_cost(order: Order, quote: Quote) -> list[str]:
    cost = format_price_range(quote.low, quote.high)
    if isinstance(order.offer.tariff, Metered) or order.term is None:
        lines = [
            _("Estimated cost: {cost} for the first hour; it is billed as time passes.").format(cost=cost)
        ]
    else:
        lines = [_("To pay for {span}: {cost}").format(span=format_duration(order.term), cost=cost)]
    if quote.deposit is not None:
        lines.append(_("Deposit, held and returned later: {deposit}").format(deposit=quote.deposit))
    return lines


def _format_limits(balance: Money | None, limits: Sequence[BudgetLimit]) -> str:
    named = join_clauses(f"{item.name}: {item.money}" for item in limits)
    if balance is None:
        texts = (
            _("The account is billed afterwards; no budget is set."),
            _("The account is billed afterwards; {limits}"),
        )
    else:
        texts = _("Balance: {balance}; no budget is set."), _("Balance: {balance}; {limits}")
    return texts[bool(limits)].format(balance=balance, limits=named)


def _format_end(spec: TripSpec, order: Order) -> str:
    limits = spec.limits
    keeps = spec.rent_only or limits.keep
    if limits.deadline_at is not None:
        return _("It ends at {at:%Y-%m-%d %H:%M} UTC at the latest.").format(at=limits.deadline_at)
    if limits.deadline_in is not None:
        return _("It ends {span} after its start at the latest.").format(
            span=format_duration(limits.deadline_in)
        )
    if keeps and order.term is not None and not isinstance(order.offer.tariff, Metered):
        return _("It ends {span} after its start, unless you renew it.").format(
            span=format_duration(order.term)
        )
    if keeps:
        return _("It costs money until you release it or the money runs out.")
    return _("It is released when the job has ended.")
