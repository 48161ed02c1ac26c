"""To whom money goes: shown, remembered for each account at a provider, and asked about when it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attrs import define, evolve

from gpurent.domain.money import CNY
from gpurent.domain.offer import Bill, PaymentPurpose
from gpurent.domain.payments import AuthorizedBill
from gpurent.domain.trip import TripSpec
from gpurent.errors import InputRequired, MoneyError
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.testing.fakes.clock import ManualClock
from gpurent.workflow.payments.payees import Payees
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.questions import Questions
from tests.security.attacks import Adversary, Outcome, attack
from tests.security.test_host_keys import Person

BILL = Bill(key="b-2", payee="landlord", amount=CNY.money(5))


@define
class Payer:
    """An account that has paid ``landlord`` before, for the lease ``l1``."""

    store: SqliteStore
    payees: Payees
    person: Person
    trip: TripContext

    async def pay(
        self, bill: Bill, *, lease: str = "l2", provider: str = "acme", account: str = "me"
    ) -> None:
        """Do what precedes a payment: the check, and the record that the account may be asked to pay."""
        record = AuthorizedBill(
            key=bill.key,
            trip=self.trip.id,
            lease=lease,
            provider=provider,
            account=account,
            amount=bill.amount,
            purpose=bill.purpose,
            payee=bill.payee,
        )
        await self.payees.check_payee(self.trip, bill, record)
        await self.store.put_authorized_bill(record)


@asynccontextmanager
async def make_payer(path: Path) -> AsyncIterator[Payer]:
    clock, person = ManualClock(), Person()
    store = SqliteStore(path / "journal.sqlite", clock.now)
    try:
        trip = await store.begin_trip("t-1", "rent", TripSpec(provider="acme"))
        context = TripContext(store, EventEmitter(clock), trip.id)
        made = Payer(store, Payees(store, Questions(store, person, clock)), person, context)
        await made.pay(evolve(BILL, key="b-1"), lease="l1")
        yield made
    finally:
        store.close()


@pytest.fixture
async def payer(tmp_path: Path) -> AsyncIterator[Payer]:
    async with make_payer(tmp_path) as made:
        yield made


@pytest.mark.parametrize("yes", [False, True])
@pytest.mark.parametrize("payee", ["thief", "Landlord", ""])
@attack(Adversary.PROVIDER, "sends a bill that is payable to somebody else", Outcome.ASKED, kind="S12")
async def test_a_changed_payee_asks(payer: Payer, payee: str, yes: bool) -> None:
    payer.person.yes = yes
    with pytest.raises(InputRequired) as caught:
        await payer.pay(evolve(BILL, payee=payee))
    assert "landlord" in caught.value.hint
    payer.person.is_interactive, payer.person.answer = True, False
    with pytest.raises(MoneyError):
        await payer.pay(evolve(BILL, payee=payee))
    assert await payer.store.find_authorized_bill("b-2") is None
    payer.person.answer = True
    await payer.pay(evolve(BILL, payee=payee))
    assert all(question.needs_person for question in payer.person.questions)
    asked = len(payer.person.questions)
    await payer.pay(evolve(BILL, payee=payee))
    assert len(payer.person.questions) == asked, "agreed to already"


async def test_the_same_payee_and_another_account_s_first_one_are_no_question(payer: Payer) -> None:
    await payer.pay(BILL)
    await payer.pay(evolve(BILL, key="b-3", payee="other"), account="you")
    await payer.pay(evolve(BILL, key="b-4", payee="other"), provider="other")
    await payer.pay(evolve(BILL, key="b-5", payee="fees", purpose=PaymentPurpose.FEE))
    assert payer.person.questions == []
    assert await payer.payees.list_payees("acme", "me") == ["fees", "landlord"]


@attack(
    Adversary.PROVIDER,
    "changes the payee of a bill that was agreed to, or of a lease's renewal, where each order has its own address",
    Outcome.ASKED,
    kind="S12",
)
async def test_an_order_s_own_payee_stays_the_same(payer: Payer) -> None:
    own = evolve(BILL, payee_per_order=True)
    await payer.pay(evolve(own, payee="order-2"))
    with pytest.raises(InputRequired):
        await payer.pay(evolve(own, payee="thief"))
    renewal = evolve(own, key="b-9", purpose=PaymentPurpose.RENEWAL)
    with pytest.raises(InputRequired):
        await payer.pay(evolve(renewal, payee="thief"))
    await payer.pay(evolve(renewal, payee="order-2"))
