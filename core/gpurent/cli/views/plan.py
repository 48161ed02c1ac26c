"""A plan for people and for scripts."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from gpurent.cli.views.offers import gpu_of, interval, rate_lines
from gpurent.locale import _
from gpurent.locale.spans import span_text
from gpurent.workflow.steps.setup import wanted

if TYPE_CHECKING:
    from gpurent.domain.trip import Leg, TripSpec
    from gpurent.workflow.trips.dry_run import Preview


def preview_text(found: Preview, want: TripSpec) -> str:
    quote = found.plan.quote
    lines = []
    if found.binds_mail:
        lines.append(_("First your e-mail address is bound; what that costs stands in the shop's mail."))
    lines += [_leg(number, leg, want) for number, leg in enumerate(found.plan.legs, 1)]
    lines.append(
        _("Then the machine stays yours until you release it.")
        if want.keep
        else _("Then it is given back; unused time and deposits come home.")
    )
    cost = interval(quote.low, quote.high)
    endless = any(leg.order.term is None for leg in found.plan.legs)
    expected = _("Expected for the first hour: {cost}") if endless else _("Expected in all: {cost}")
    lines += ["", expected.format(cost=cost)]
    if quote.deposit is not None:
        lines.append(_("Locked meanwhile: {deposit}").format(deposit=quote.deposit))
    lines.append(_("No bill above its leg's upper figure is paid without asking."))
    lines.append(
        _("Needed at once: {needed}; the balance is {balance}").format(
            needed=found.needed, balance=found.balance
        )
    )
    lines += [
        _("Left of the {name} of {limit}: {left}").format(
            name=standing.limit.name, limit=standing.limit.money, left=standing.left
        )
        for standing in found.budgets
    ]
    if found.lasts is not None:
        lines.append(
            _("The machine can run for {span} before money ends.").format(span=span_text(found.lasts))
        )
    lines += rate_lines([quote.rate] if quote.rate else [])
    lines += [_("It would be refused: {why}").format(why=why) for why in found.refused]
    lines.append(_("Nothing was ordered, paid or written."))
    return "\n".join(lines)


def _leg(number: int, leg: Leg, want: TripSpec) -> str:
    order = leg.order
    parts = [_("upload {folder}").format(folder=want.folder)] if leg.cargo else []
    if leg.cargo and want.inputs:
        parts = [_("upload {names} of {folder}").format(names=", ".join(want.inputs), folder=want.folder)]
    if leg.job:
        meanwhile = leg.cargo and want.needs is not None
        ready = _("meanwhile make the machine ready") if meanwhile else _("make the machine ready")
        parts += [ready] if wanted(want) else []
        parts.append(_("run {command}").format(command=shlex.join(want.command)))
        parts += [_("bring home {results}").format(results=", ".join(want.results))] if want.results else []
    cost = interval(leg.quote.low, leg.quote.high)
    if order.term is None:
        cost = _("{cost} for each hour").format(cost=cost)
    if leg.quote.deposit is not None:
        cost = _("{cost}, and {deposit} locked").format(cost=cost, deposit=leg.quote.deposit)
    time = span_text(order.term) if order.term is not None else _("until the job ends")
    return _("{number}. {gpu} on machine {machine}, {time}: {work}. {cost}").format(
        number=number,
        gpu=gpu_of(order.offer),
        machine=order.offer.key,
        time=time,
        work=", ".join(parts),
        cost=cost,
    )


def preview_data(found: Preview) -> dict[str, Any]:
    return {
        "account": found.account,
        "binds_mail": found.binds_mail,
        "legs": [
            {
                "kind": leg.order.kind,
                "machine": leg.order.offer.key,
                "hardware": leg.order.offer.hardware,
                "term": leg.order.term,
                "upload": leg.cargo,
                "job": leg.job,
                "low": leg.quote.low,
                "high": leg.quote.high,
                "deposit": leg.quote.deposit,
                "rate": leg.quote.rate,
            }
            for leg in found.plan.legs
        ],
        "low": found.plan.quote.low,
        "high": found.plan.quote.high,
        "deposit": found.plan.quote.deposit,
        "rate": found.plan.quote.rate,
        "needed": found.needed,
        "balance": found.balance,
        "lasts": found.lasts,
        "budgets": [
            {"name": item.limit.name, "limit": item.limit.money, "used": item.used, "left": item.left}
            for item in found.budgets
        ],
        "refused": found.refused,
    }
