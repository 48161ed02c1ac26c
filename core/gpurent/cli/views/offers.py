"""Offers, prices, rates and plans for people and for scripts."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from attrs import evolve

from gpurent.cli.json_output import to_json_value
from gpurent.cli.views.render import format_moment
from gpurent.cli.views.table import format_table
from gpurent.locale import _, join_clauses, join_list, ngettext
from gpurent.locale.durations import format_duration

if TYPE_CHECKING:
    from gpurent.domain.money import Money, Rate
    from gpurent.domain.offer import Offer
    from gpurent.domain.trip import Leg, TripSpec
    from gpurent.workflow.reports.offers import MarketOffers, PricedOffer
    from gpurent.workflow.trips.previews import TripPreview


SHOWN_DECIMALS = 8


def format_price_range(low: Money, high: Money) -> str:
    """Format ``3.60 CNY``, or ``3.60 - 3.78 CNY`` if the price floats; a range is widened to 8 decimals."""
    if low == high:
        return str(low)
    return f"{str(_shorten(low, floor)).rpartition(' ')[0]} - {_shorten(high, ceil)}"


def _shorten(money: Money, rounded: Callable[[Fraction], int]) -> Money:
    """Return ``money`` rounded to the decimals that people use; ``--json`` has all of them."""
    unit = 10 ** max(money.currency.exponent - SHOWN_DECIMALS, 0)
    return evolve(money, amount=rounded(Fraction(money.amount, unit)) * unit)


def format_gpu(offer: Offer) -> str:
    hardware = offer.hardware
    return f"{hardware.gpus} x {hardware.gpu}" if hardware.gpus > 1 else hardware.gpu or "CPU"


def format_rates(rates: Iterable[Rate]) -> list[str]:
    """Format each rate once, with its source and date."""
    lines = (
        _("1 {base} = {value} {quote}: {source}, {at}").format(
            base=rate.base.code,
            value=rate.value,
            quote=rate.quote.code,
            source=rate.source,
            at=format_moment(rate.at),
        )
        for rate in rates
    )
    return list(dict.fromkeys(lines))


def format_market(found: MarketOffers, code: str) -> str:
    lines = []
    if found.ranked:
        lines.append(_offer_table(found.ranked, code))
        lines += _format_market_rates(found.ranked)
    if found.unconverted:
        heading = _("Cannot be converted to {code}; ranked separately:").format(code=code)
        lines += [*([""] if lines else []), heading, _offer_table(found.unconverted, "")]
        lines += _format_market_rates(found.unconverted)
        reasons = dict.fromkeys(item.unconverted_reason for item in found.unconverted)
        lines += [reason[:1].upper() + reason[1:] for reason in reasons]
    if not found.ranked and not found.unconverted:
        lines.append(_("No matching offers."))
    if found.too_short:
        lines.append(_format_too_short(found.too_short))
    lines += [
        _("No offers from {provider}: {reason}").format(provider=name, reason=reason)
        for name, reason in found.unavailable
    ]
    return "\n".join(lines)


def _format_market_rates(items: Sequence[PricedOffer]) -> list[str]:
    """Format each rate once, with the providers whose offers it converts."""
    providers: dict[str, dict[str, None]] = {}
    for item in items:
        for line in format_rates(_collect_rates(item)):
            providers.setdefault(line, {})[item.offer.provider] = None
    return [
        _("{rate} ({providers})").format(rate=line, providers=join_list(names))
        for line, names in providers.items()
    ]


def _format_too_short(count: int) -> str:
    text = ngettext(
        "{count} machine cannot be rented for that long.",
        "{count} machines cannot be rented for that long.",
        count,
    )
    return text.format(count=count)


def _offer_table(items: Sequence[PricedOffer], code: str) -> str:
    head = (
        _("provider"), _("machine"), "GPU", _("price"), _("duration"), _("to pay"), _("refundable"), _("deposit"),
        _("net cost in {code}").format(code=code) if code else _("net cost"), _("available"),
    )  # fmt: skip
    return format_table(head, [_offer_row(item) for item in items], right=(3, 5, 6, 7, 8))


def _offer_row(item: PricedOffer) -> tuple[str, ...]:
    offer, quote, shown = item.offer, item.quote, item.converted or item.net_quote
    return (
        offer.provider,
        offer.key,
        format_gpu(offer),
        str(offer.tariff.price),
        format_duration(item.term),
        format_price_range(quote.low, quote.high),
        str(item.refundable) if item.refundable.amount else "-",
        str(quote.deposit) if quote.deposit else "-",
        format_price_range(shown.low, shown.high),
        _("yes") if offer.available else _("taken"),
    )


def _collect_rates(item: PricedOffer) -> list[Rate]:
    rates = [item.quote.rate] if item.quote.rate else []
    return [*rates, *(item.converted.conversion.rates if item.converted else ())]


def market_json(found: MarketOffers, providers: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each of ``providers``; its offers have their cost, original and converted, and overall rank."""
    reasons = dict(found.unavailable)
    ranks = {id(item): number for number, item in enumerate(found.ranked, 1)}
    every = [*found.ranked, *found.unconverted]
    return [
        {
            "provider": name,
            "offers": None
            if name in reasons
            else [
                {**_offer_json(item), "rank": ranks.get(id(item))}
                for item in every
                if item.offer.provider == name
            ],
            "error": reasons.get(name),
        }
        for name in providers
    ]


def _offer_json(item: PricedOffer) -> Mapping[str, Any]:
    shown = item.converted
    converted = None
    if shown is not None:
        way = shown.conversion
        converted = {
            "low": shown.low,
            "high": shown.high,
            "deposit": shown.deposit,
            "rates": way.rates,
            "oldest_rate_at": way.oldest_rate_at,
            "floating": way.floats or shown.low != shown.high,
        }
    return {
        **to_json_value(item.offer),
        "quote": {
            "term": item.term,
            "price": item.price,
            "low": item.quote.low,
            "high": item.quote.high,
            "deposit": item.quote.deposit,
            "refundable": item.refundable,
            "net_cost": {"low": item.net_quote.low, "high": item.net_quote.high},
            "rate": item.quote.rate,
            "converted": converted,
            "unconverted_reason": item.unconverted_reason,
        },
    }


def format_preview(found: TripPreview, spec: TripSpec) -> str:
    quote = found.plan.quote
    lines = []
    if found.needs_mail_binding:
        lines.append(_("Your e-mail address is bound first; the provider's e-mail states the cost."))
    lines += [_format_leg(number, leg, spec) for number, leg in enumerate(found.plan.legs, 1)]
    lines.append(
        _("The machine is then kept until you release it.")
        if spec.limits.keep
        else _("The machine is then released; unused time is refunded and deposits are returned.")
    )
    cost = format_price_range(quote.low, quote.high)
    endless = any(leg.order.term is None for leg in found.plan.legs)
    expected = _("Expected cost for the first hour: {cost}") if endless else _("Expected total cost: {cost}")
    lines += ["", expected.format(cost=cost)]
    if quote.deposit is not None:
        lines.append(_("Deposit: {deposit}").format(deposit=quote.deposit))
    lines.append(_("gpurent asks you before it pays a bill that is higher than the estimate."))
    lines.append(
        _("Balance needed to start (highest estimate plus deposit): {needed}; you have: {balance}").format(
            needed=found.required, balance=found.balance
        )
    )
    lines += [
        _("Remaining {name}: {left} of {limit}").format(
            name=status.limit.name, limit=status.limit.money, left=status.left
        )
        for status in found.budgets
    ]
    if found.max_runtime is not None and not found.max_runtime:
        lines.append(_("The balance does not cover any runtime."))
    elif found.max_runtime is not None:
        lines.append(
            _("The machine can run for {span} before the balance or a budget is used up.").format(
                span=format_duration(found.max_runtime)
            )
        )
    if spec.limits.deadline_at is not None:
        lines.append(
            _("The machine is released at {at} at the latest.").format(
                at=format_moment(spec.limits.deadline_at)
            )
        )
    lines += format_rates([quote.rate] if quote.rate else [])
    lines += [_("This trip would be refused: {why}").format(why=why) for why in found.refusals]
    lines.append(_("Nothing was ordered, paid or written."))
    return "\n".join(lines)


def _format_leg(number: int, leg: Leg, spec: TripSpec) -> str:
    order = leg.order
    cost = format_price_range(leg.quote.low, leg.quote.high)
    if order.term is None:
        cost = _("{cost} per hour").format(cost=cost)
    if leg.quote.deposit is not None:
        cost = _("{cost}, plus a deposit of {deposit}").format(cost=cost, deposit=leg.quote.deposit)
    time = format_duration(order.term) if order.term is not None else _("until the job ends")
    return _("{number}. {gpu} on machine {machine}, {time}: {work}. {cost}").format(
        number=number,
        gpu=format_gpu(order.offer),
        machine=order.offer.key,
        time=time,
        work=join_clauses(_leg_actions(leg, spec)),
        cost=cost,
    )


def _leg_actions(leg: Leg, spec: TripSpec) -> list[str]:
    upload, setup = spec.upload, spec.job.setup
    parts = []
    if leg.upload and upload.include:
        names = join_list(upload.include)
        parts.append(_("upload {names} from {folder}").format(names=names, folder=upload.folder))
    elif leg.upload:
        parts.append(_("upload {folder}").format(folder=upload.folder))
    if not leg.job:
        return parts
    if setup.is_needed:
        meanwhile = leg.upload and setup.needs is not None
        parts.append(_("set up the machine during the upload") if meanwhile else _("set up the machine"))
    parts.append(_("run {command}").format(command=shlex.join(spec.job.command)))
    if spec.results.paths:
        parts.append(_("download {results}").format(results=join_list(spec.results.paths)))
    return parts


def preview_json(found: TripPreview) -> dict[str, Any]:
    return {
        "account": found.account,
        "needs_mail_binding": found.needs_mail_binding,
        "legs": [
            {
                "kind": leg.order.kind,
                "machine": leg.order.offer.key,
                "hardware": leg.order.offer.hardware,
                "term": leg.order.term,
                "upload": leg.upload,
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
        "required": found.required,
        "balance": found.balance,
        "max_runtime": found.max_runtime,
        "budgets": [
            {"name": item.limit.name, "limit": item.limit.money, "used": item.used, "left": item.left}
            for item in found.budgets
        ],
        "refusals": found.refusals,
    }
