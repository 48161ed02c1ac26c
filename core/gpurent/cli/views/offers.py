"""Quotes, rates and plans for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpurent.cli.data import plain
from gpurent.cli.views.render import moment
from gpurent.cli.views.table import table
from gpurent.locale import _
from gpurent.locale.spans import span_text

if TYPE_CHECKING:
    from gpurent.domain.money import Money, Rate
    from gpurent.domain.offer import Offer
    from gpurent.workflow.reports.market import Market, Priced


def interval(low: Money, high: Money) -> str:
    """``3.60 CNY``, or ``3.60 - 3.78 CNY`` when it floats."""
    if low == high:
        return str(low)
    return f"{str(low).rpartition(' ')[0]} - {high}"


def gpu_of(offer: Offer) -> str:
    hardware = offer.hardware
    return f"{hardware.gpus} x {hardware.gpu}" if hardware.gpus > 1 else hardware.gpu or "CPU"


def rate_line(rate: Rate) -> str:
    return _("1 {base} = {value} {quote}: {source}, {at}").format(
        base=rate.base.code, value=rate.value, quote=rate.quote.code, source=rate.source, at=moment(rate.at)
    )


def rate_lines(rates: Iterable[Rate]) -> list[str]:
    """Each rate once, with its source and date."""
    return list(dict.fromkeys(rate_line(rate) for rate in rates))


def market_text(found: Market, code: str) -> str:
    lines = []
    if found.ranked:
        lines.append(_table(found.ranked, code))
        lines += rate_lines(rate for item in found.ranked for rate in _rates(item))
    if found.apart:
        lines += ["", _("Not comparable, so ranked apart:"), _table(found.apart, "")]
        lines += rate_lines(rate for item in found.apart for rate in _rates(item))
        lines += list(dict.fromkeys(item.why for item in found.apart))
    if not found.ranked and not found.apart:
        lines.append(_("Nothing fits."))
    if found.too_short:
        lines.append(_("{count} machines cannot be had for so long.").format(count=found.too_short))
    lines += [
        _("{provider} is left out: {reason}").format(provider=name, reason=reason)
        for name, reason in found.silent
    ]
    return "\n".join(lines)


def _table(items: Sequence[Priced], code: str) -> str:
    head = (
        _("provider"), _("machine"), "GPU", _("price"), _("for"), _("to pay"), _("comes back"), _("locked"),
        _("in {code}").format(code=code) if code else _("in the end"), _("free"),
    )  # fmt: skip
    return table(head, [_row(item) for item in items], right=(3, 5, 6, 7, 8))


def _row(item: Priced) -> tuple[str, ...]:
    offer, quote, shown = item.offer, item.quote, item.converted or item.net
    return (
        offer.provider,
        offer.key,
        gpu_of(offer),
        str(offer.tariff.price),
        span_text(item.term),
        interval(quote.low, quote.high),
        str(item.refundable) if item.refundable.amount else "-",
        str(quote.deposit) if quote.deposit else "-",
        interval(shown.low, shown.high),
        _("yes") if offer.free else _("taken"),
    )


def _rates(item: Priced) -> list[Rate]:
    rates = [item.quote.rate] if item.quote.rate else []
    return [*rates, *(item.converted.conversion.rates if item.converted else ())]


def market_data(found: Market, providers: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each provider; its offers carry what they cost, raw and converted, and their place among all."""
    reasons = dict(found.silent)
    names = list(providers) or sorted({*reasons, *(i.offer.provider for i in (*found.ranked, *found.apart))})
    ranks = {id(item): number for number, item in enumerate(found.ranked, 1)}
    every = [*found.ranked, *found.apart]
    return [
        {
            "provider": name,
            "offers": None
            if name in reasons
            else [
                {**_offer(item), "rank": ranks.get(id(item))} for item in every if item.offer.provider == name
            ],
            "error": reasons.get(name),
        }
        for name in names
    ]


def _offer(item: Priced) -> Mapping[str, Any]:
    shown = item.converted
    converted = None
    if shown is not None:
        way = shown.conversion
        converted = {
            "low": shown.low,
            "high": shown.high,
            "deposit": shown.deposit,
            "rates": way.rates,
            "oldest_rate": way.oldest,
            "floats": way.floats or shown.low != shown.high,
        }
    found: Mapping[str, Any] = plain(item.offer)
    return {
        **found,
        "quote": {
            "term": item.term,
            "price": item.price,
            "low": item.quote.low,
            "high": item.quote.high,
            "deposit": item.quote.deposit,
            "refundable": item.refundable,
            "in_the_end": {"low": item.net.low, "high": item.net.high},
            "rate": item.quote.rate,
            "converted": converted,
            "why_not_converted": item.why,
        },
    }
