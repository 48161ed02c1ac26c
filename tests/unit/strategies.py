"""Model values as hypothesis builds them: every field used, every optional one now there, now not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from gpurent.domain.access import Endpoint, MachineProfile
from gpurent.domain.events import Event
from gpurent.domain.lease import Lease, LeaseState, Pending
from gpurent.domain.mail import Challenge, Mail
from gpurent.domain.money import Currency, Money, Rate, UnitPrice
from gpurent.domain.offer import Deposit, Hardware, Metered, Offer, Prepaid, Quote, Requirements
from gpurent.domain.order import Bill, Order, OrderKind, Payment
from gpurent.domain.receipt import Charge, Receipt, Total
from gpurent.domain.session import Job, JobStatus, SessionInfo
from gpurent.domain.transfer import Limits, Pull, Push, Skipped, TransferReport
from gpurent.domain.trip import Leg, Plan, TripSpec
from gpurent.roles.authenticator import Login
from gpurent.roles.billing import Balance, TopUp
from gpurent.roles.exporter import Exported
from gpurent.roles.lease import Binding
from gpurent.workflow.steps.check_funds import Funding
from gpurent.workflow.steps.launch import Launched

# Surrogates are no text: UTF-8 cannot hold them, and nothing that was decoded strictly gives them.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
small = st.integers(0, 10**6)
spans = st.timedeltas(timedelta(0), timedelta(days=4000))
zones = st.one_of(st.just(UTC), st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))))
times = st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=zones)  # noqa: DTZ001 - zones are added
facts = st.dictionaries(text, text, max_size=3)
currencies = st.builds(Currency, st.sampled_from(["CNY", "USD", "DBC"]), st.integers(0, 18))
money = st.builds(Money, st.integers(-(10**30), 10**30), currencies)
unit_prices = st.builds(
    UnitPrice,
    st.decimals(0, 10**20, places=12),
    currencies,
    st.sampled_from([timedelta(hours=1), timedelta(days=1)]),
)
rates = st.builds(
    Rate, currencies, currencies, st.one_of(st.decimals(allow_nan=False), st.decimals(-1, 1)), times, text
)


def maybe(strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.none() | strategy


metered = st.builds(Metered, price=unit_prices, tick=spans)
prepaid = st.builds(Prepaid, price=unit_prices, minimum=spans, maximum=maybe(spans), refundable=st.booleans())
hardware = st.builds(Hardware, gpu=text, gpus=small, gpu_memory=small, cpus=small, memory=small, disk=small)
deposits = st.builds(Deposit, money=money, returned_on=text)
offers = st.builds(
    Offer,
    key=text,
    provider=text,
    hardware=hardware,
    tariff=metered | prepaid,
    deposit=maybe(deposits),
    free=st.booleans(),
    place=text,
    score=text,
    note=text,
    shop=facts,
)
quotes = st.builds(Quote, low=money, high=money, deposit=maybe(money), rate=maybe(rates))
wishes = st.builds(
    Requirements, gpu=text, gpus=small, key=text, cpu_only=st.booleans(), include_taken=st.booleans()
)
orders = st.builds(
    Order,
    key=text,
    kind=st.sampled_from(OrderKind),
    offer=offers,
    term=maybe(spans),
    onto=text,
    gpus=small,
    disk=small,
    password_ref=text,
    image=text,
)
bills = st.builds(Bill, key=text, payee=text, amount=money, memo=text, due=maybe(times))
payments = st.builds(Payment, key=text, proof=text, amount=money, at=times, fee=maybe(money))
pendings = st.builds(
    Pending, key=text, kind=st.sampled_from(OrderKind), ref=text, bill=maybe(bills), paid=st.booleans()
)
users = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,9}", fullmatch=True)
hosts = st.sampled_from(["host", "gpu3.example.com", "10.0.0.1", "[2001:db8::1]"])
endpoints = st.builds(Endpoint, users, hosts, st.integers(1, 65535))
leases = st.builds(
    Lease,
    id=text,
    provider=text,
    offer=offers,
    state=st.sampled_from(LeaseState),
    ref=text,
    label=text,
    pending=maybe(pendings),
    endpoint=maybe(endpoints),
    password_ref=text,
    started_at=maybe(times),
    expires_at=maybe(times),
    ended_at=maybe(times),
    kept_until=maybe(times),
    bills=st.lists(bills, max_size=2).map(tuple),
    shop=facts,
    note=text,
)
charges = st.builds(Charge, at=times, money=money, ref=text, note=text, rate=maybe(rates))
receipts = st.builds(
    Receipt,
    lease=text,
    provider=text,
    charges=st.lists(charges, max_size=3).map(tuple),
    started_at=maybe(times),
    ended_at=maybe(times),
    idle=st.lists(st.tuples(text, spans), max_size=2).map(tuple),
)
wants = st.builds(
    TripSpec,
    wish=wishes,
    term=maybe(spans),
    budget=maybe(money),
    command=st.lists(text, max_size=3).map(tuple),
    results=st.lists(text, max_size=2).map(tuple),
    staged=maybe(st.booleans()),
    provider=text,
    folder=text,
)
legs = st.builds(Leg, order=orders, cargo=st.booleans(), job=st.booleans(), quote=quotes)
plans = st.builds(
    Plan, offer=offers, legs=st.lists(legs, max_size=2).map(tuple), quote=quotes, ceiling=maybe(money)
)
seconds = st.floats(0, 1e9, allow_nan=False)
skipped = st.builds(Skipped, name=text, why=text)
reports = st.builds(
    TransferReport,
    files=small,
    total=small,
    sent=small,
    resumed=small,
    seconds=seconds,
    skipped=st.lists(skipped, max_size=2).map(tuple),
)
job_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,9}", fullmatch=True)
statuses = st.builds(
    JobStatus,
    exit_code=maybe(st.integers(0, 255)),
    reason=text,
    started_at=maybe(times),
    ended_at=maybe(times),
)
limits = st.builds(Limits, files=small, total=small, depth=small, name=small)
paths = st.from_regex(r"[a-z/.]{1,12}", fullmatch=True).map(_path := __import__("pathlib").Path)

VALUES: dict[type, SearchStrategy[Any]] = {
    str: text,
    Currency: currencies,
    Money: money,
    UnitPrice: unit_prices,
    Rate: rates,
    Hardware: hardware,
    Metered: metered,
    Prepaid: prepaid,
    Deposit: deposits,
    Offer: offers,
    Requirements: wishes,
    Quote: quotes,
    Order: orders,
    Bill: bills,
    Payment: payments,
    Pending: pendings,
    Lease: leases,
    Endpoint: endpoints,
    MachineProfile: st.builds(
        MachineProfile, user=text, python=text, home=text, data=text, install=text, stop_script=text
    ),
    Charge: charges,
    Total: st.builds(Total, currency=currencies, paid=money, refunded=money, spent=money, held=money),
    Receipt: receipts,
    TripSpec: wants,
    Leg: legs,
    Plan: plans,
    Skipped: skipped,
    Limits: limits,
    Push: st.builds(
        Push,
        sources=st.lists(paths, max_size=2).map(tuple),
        target=text,
        content=st.booleans(),
        limits=limits,
    ),
    Pull: st.builds(Pull, sources=st.lists(text, max_size=2).map(tuple), target=paths, limits=limits),
    TransferReport: reports,
    Job: st.builds(Job, name=job_names, command=text, folder=text, env=facts),
    JobStatus: statuses,
    SessionInfo: st.builds(SessionInfo, id=text, name=text, attached=st.booleans(), since=text),
    Event: st.builds(Event, at=times, text=text, data=st.dictionaries(text, text | small, max_size=2)),
    Mail: st.builds(Mail, uid=text, at=times, sender=text, subject=text, text=text),
    Challenge: st.builds(
        Challenge,
        key=text,
        question=text,
        pattern=text,
        sender=text,
        subject=text,
        since=times,
        secret=st.booleans(),
    ),
    Balance: st.builds(Balance, available=money, at=times, held=maybe(money)),
    TopUp: st.builds(TopUp, steps=st.lists(text, max_size=2).map(tuple), url=text, qr=text, advice=text),
    Binding: st.builds(Binding, email=text, since=times, bill=maybe(bills), done=st.booleans()),
    Funding: st.builds(Funding, ceiling=money, deposit=maybe(money), budget=maybe(money), balance=money),
}
# What holds a secret is never written; the codec test asserts that instead.
SECRETIVE: tuple[type, ...] = (Login, Exported)
# Only ever listed, never recorded: their type argument is unknown to the codec.
LISTINGS: tuple[str, ...] = ("Known", "Unknown")
_ = Launched
