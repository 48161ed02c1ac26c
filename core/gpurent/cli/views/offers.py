"""Offers, prices and rates for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpurent.cli.json_output import to_json_value
from gpurent.cli.views.render import format_moment
from gpurent.cli.views.table import format_table
from gpurent.domain.money_text import format_hourly_price, format_price_range, format_rounded_money
from gpurent.domain.wishes import describe_unstated
from gpurent.locale import N_, _, join_list, ngettext
from gpurent.locale.durations import format_duration

if TYPE_CHECKING:
    from gpurent.domain.money import Rate
    from gpurent.domain.offer import Offer
    from gpurent.workflow.reports.offers import MarketOffers, PricedOffer


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


def format_market(found: MarketOffers, code: str, *, wide: bool = False) -> str:
    """Format the offers for 80 columns; ``wide``: with every column and exact amounts."""
    format_offers = _format_wide if wide else _format_narrow
    lines = []
    if found.ranked:
        lines.append(format_offers(found.ranked, code))
        lines += _format_market_rates(found.ranked)
    if found.unconverted:
        heading = _("Cannot be converted to {code}; ranked separately:").format(code=code)
        lines += [*([""] if lines else []), heading, format_offers(found.unconverted, "")]
        lines += _format_market_rates(found.unconverted)
        reasons = dict.fromkeys(item.unconverted_reason for item in found.unconverted)
        lines += [reason[:1].upper() + reason[1:] for reason in reasons]
    if not found.ranked and not found.unconverted:
        lines.append(_("No matching offers."))
    if not wide and any(_is_long(item.offer.key) for item in (*found.ranked, *found.unconverted)):
        lines.append(_("A name with … is shortened; --wide shows all of it, as --machine takes it."))
    if found.too_short:
        lines.append(_format_too_short(found.too_short))
    lines += [
        _("{name}: {reason}").format(name=name, reason=line)
        for name, unstated in found.unstated.items()
        for line in describe_unstated(unstated)
    ]
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


MAX_KEY_LENGTH = 14


def _is_long(key: str) -> bool:
    return len(key) > MAX_KEY_LENGTH


def _shorten_key(key: str) -> str:
    return f"{key[: MAX_KEY_LENGTH - 1]}…" if _is_long(key) else key


def _name_machine(offer: Offer) -> str:
    name = _shorten_key(offer.key)
    return name if offer.available else _("{name} ({state})").format(name=name, state=_("taken"))


def _format_narrow(items: Sequence[PricedOffer], code: str) -> str:
    """Format a table with rounded amounts; what holds for all rows, or is stated by none, has no column."""
    terms = {item.term for item in items}
    span = format_duration(min(terms)) if len(terms) == 1 else _("net cost")
    cost = _("{span} in {code}").format(span=span, code=code) if code else span
    columns = (
        (_("provider"), [item.offer.provider for item in items], True),
        (_("machine"), [_name_machine(item.offer) for item in items], True),
        ("GPU", [item.offer.hardware.title for item in items], True),
        (_("price"), [format_hourly_price(item.offer.tariff.price) for item in items], True),
        (_("duration"), [format_duration(item.term) for item in items], len(terms) > 1),
        (cost, [_format_net_cost(item, names_currency=not code) for item in items], True),
        (
            _("deposit"),
            [format_rounded_money(item.quote.deposit) if item.quote.deposit else "-" for item in items],
            any(item.quote.deposit for item in items),
        ),
        (_("region"), [item.offer.location or "-" for item in items], any(x.offer.location for x in items)),
    )
    shown = [(title, cells) for title, cells, is_shown in columns if is_shown]
    amounts = {_("price"), cost, _("deposit")}
    right = [number for number, (title, _cells) in enumerate(shown) if title in amounts]
    rows = list(zip(*(cells for _title, cells in shown), strict=True))
    return format_table([title for title, _cells in shown], rows, right=right)


def _format_net_cost(item: PricedOffer, *, names_currency: bool) -> str:
    shown = item.converted or item.net_quote
    low, high = format_rounded_money(shown.low), format_rounded_money(shown.high)
    least, most = low.rpartition(" ")[0], high if names_currency else high.rpartition(" ")[0]
    return most if low == high else f"{least} - {most}"


def _format_wide(items: Sequence[PricedOffer], code: str) -> str:
    head = (
        _("provider"), _("machine"), "GPU", _("price"), _("duration"), _("to pay"), _("refundable"), _("deposit"),
        _("net cost in {code}").format(code=code) if code else _("net cost"), _("available"),
    )  # fmt: skip
    details = [_list_details(item.offer) for item in items]
    # Of what only some providers state, what none of these states has no column.
    shown = [number for number, title in enumerate(DETAIL_TITLES) if any(row[number] for row in details)]
    rows = [
        (*_offer_row(item), *(row[number] or "-" for number in shown))
        for item, row in zip(items, details, strict=True)
    ]
    titles = [_(DETAIL_TITLES[number]) for number in shown]
    return format_table((*head, *titles), rows, right=(3, 5, 6, 7, 8), fit=False)


DETAIL_TITLES = (N_("region"), N_("reliability"), "CUDA", N_("traffic"))


def _list_details(offer: Offer) -> tuple[str, ...]:
    """Return the texts under `DETAIL_TITLES`, empty where nothing is stated."""
    return (
        offer.location,
        "" if offer.reliability is None else f"{offer.reliability.normalize():f} %",
        offer.cuda,
        "" if offer.traffic is None else str(offer.traffic),
    )


def _offer_row(item: PricedOffer) -> tuple[str, ...]:
    offer, quote, shown = item.offer, item.quote, item.converted or item.net_quote
    return (
        offer.provider,
        offer.key,
        offer.hardware.title,
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
            "unstated": {wish.value: count for wish, count in found.unstated.get(name, {}).items()},
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
