"""What a machine has run and what that cost, for a service that states starts and stops, but lists no charges. Pure.

Each run is kept with the lease: what an earlier one cost is known after the machine was started again, or is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from attrs import evolve, frozen

from gpurent.domain.evidence import Known, Unknown
from gpurent.domain.lease import Lease
from gpurent.domain.money import Currency, UnitPrice
from gpurent.domain.offer import Metered
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.locale import _

RUNS = "runs"
"""The key in `Lease.provider_data`."""
_SECOND = f"{RUNS}/"
MINUTE = timedelta(minutes=1)


@frozen(kw_only=True)
class MachineRun:
    """``price`` per hour of the whole machine, None if it is not known. ``stopped_at`` None: it runs."""

    started_at: datetime
    stopped_at: datetime | None
    price: Decimal | None


def list_machine_runs(lease: Lease, second: str = "") -> Sequence[MachineRun]:
    """Return the noted runs, oldest first; ``second``: those of the other machine with this reference."""
    return [_parse_run(text) for text in lease.provider_data.get(_name(second), "").split()]


def note_machine_run(
    lease: Lease,
    started_at: datetime | None,
    stopped_at: datetime | None,
    price: UnitPrice | None,
    second: str = "",
) -> Lease:
    """Return the lease with its last run as the service states it.

    ``started_at`` None: only its stop is stated. ``price`` None: as it was noted before, or as the offer has it. A stop
    that was noted stays: until it runs again, a service may go on stating the start of the run before.

    ``second``: the reference of another machine that the order has created, because its request arrived twice.
    """
    runs = list(list_machine_runs(lease, second))
    if started_at is None and runs:
        runs[-1] = evolve(runs[-1], stopped_at=runs[-1].stopped_at or stopped_at)
    elif started_at is not None:
        same = runs.pop() if runs and runs[-1].started_at == started_at else None
        known = price or lease.offer.tariff.price
        noted = known.value if known.is_known else None
        if price is None and same is not None and same.price is not None:
            noted = same.price
        if same is not None:
            stopped_at = same.stopped_at or stopped_at
        runs.append(MachineRun(started_at=started_at, stopped_at=stopped_at, price=noted))
    return evolve(
        lease, provider_data={**lease.provider_data, _name(second): " ".join(map(_format_run, runs))}
    )


def compute_run_charges(lease: Lease, currency: Currency, now: datetime) -> Known[Charge] | Unknown:
    """Return a charge for each run that cost something, oldest first; `Unknown` if a price is not known."""
    seconds = [name.removeprefix(_SECOND) for name in lease.provider_data if name.startswith(_SECOND)]
    every = [(second, run) for second in ("", *seconds) for run in list_machine_runs(lease, second)]
    found = []
    for second, run in sorted(every, key=lambda one: one[1].started_at):
        if run.price is None:
            return Unknown(_("the machine ran at a price that its provider did not state"))
        price, end = UnitPrice(run.price, currency), run.stopped_at or lease.ended_at
        tariff = lease.offer.tariff if isinstance(lease.offer.tariff, Metered) else Metered(price=price)
        span = tariff.round_up((end or now) - run.started_at)
        if price.cost(span).amount:
            note = _("{minutes} min at {price}, computed").format(minutes=-(-span // MINUTE), price=price)
            charge = Charge(
                at=end or now,
                kind=ChargeKind.USAGE,
                money=price.cost(span),
                ref=f"{second or lease.ref}@{run.started_at.isoformat()}",
                note=note,
                growing=end is None and not lease.is_over,
            )
            found.append(charge)
    return Known(tuple(found))


def _name(second: str) -> str:
    return f"{_SECOND}{second}" if second else RUNS


def _format_run(run: MachineRun) -> str:
    stop = "" if run.stopped_at is None else run.stopped_at.isoformat()
    return f"{run.started_at.isoformat()}/{stop}/{'' if run.price is None else f'{run.price:f}'}"


def _parse_run(text: str) -> MachineRun:
    start, stop, price = text.split("/")
    return MachineRun(
        started_at=datetime.fromisoformat(start),
        stopped_at=datetime.fromisoformat(stop) if stop else None,
        price=Decimal(price) if price else None,
    )
