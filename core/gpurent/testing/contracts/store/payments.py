"""Contract tests for payments, and for the bindings of e-mail addresses."""

from __future__ import annotations

import asyncio
from datetime import UTC

import pytest
from attrs import evolve

from gpurent.domain.money import CNY, Currency, Money
from gpurent.domain.offer import Payment, PaymentPurpose
from gpurent.domain.payments import AuthorizedBill
from gpurent.ports.store import Store
from gpurent.testing.contracts.store.base import SPEC, START, SteppedClock, StoreContract

DBC = Currency("DBC", 15)
BILL = AuthorizedBill(
    key="k",
    trip="t1",
    lease="l1",
    provider="acme",
    account="me",
    amount=CNY.money(3),
    purpose=PaymentPurpose.RENT,
    payee="landlord",
)
PAYMENT = Payment(key="k", proof="x", amount=CNY.money(3), at=START)


class PaymentStoreContract(StoreContract):
    """`gpurent.ports.payment_store.PaymentStore`."""

    async def test_a_payment_is_recorded_only_after_its_authorization(self, store: Store) -> None:
        with pytest.raises(LookupError):
            await store.put_payment("t1", PAYMENT)
        await store.put_authorized_bill(BILL)
        with pytest.raises(ValueError, match="currency"):
            await store.put_payment("t1", Payment(key="k", proof="x", amount=Money(3, DBC), at=START))
        assert await store.find_recorded_payment("k") is None
        assert await store.find_authorized_bill("k") == evolve(BILL, authorized_at=START)

    async def test_a_payment_is_recorded_once(self, store: Store, other: Store, clock: SteppedClock) -> None:
        await store.put_authorized_bill(BILL)
        await store.put_payment("t2", PAYMENT)
        await other.put_payment("t1", Payment(key="k", proof="another", amount=CNY.money(1), at=START))
        await other.put_authorized_bill(evolve(BILL, amount=CNY.money(9)))
        confirmed_at = clock.advance()
        await store.confirm_recorded_payment("k")
        clock.advance()
        await store.confirm_recorded_payment("k")
        (known,) = await other.list_trip_payments("t2")
        assert (known.trip, known.account, known.authorized_at) == ("t2", "me", START), "the trip that paid"
        assert (known.amount, known.payment, known.confirmed_at) == (BILL.amount, PAYMENT, confirmed_at)
        assert await other.find_recorded_payment("k") == known
        assert await other.list_trip_payments("t1") == []

    async def test_the_bills_of_an_account_are_listed(self, store: Store, clock: SteppedClock) -> None:
        await store.put_authorized_bill(BILL)
        await store.put_payment("t1", PAYMENT)
        for key, account, provider in (("k2", "me", "acme"), ("k3", "you", "acme"), ("k4", "me", "other")):
            clock.advance()
            await store.put_authorized_bill(evolve(BILL, key=key, account=account, provider=provider))
        found = await store.list_authorized_bills("acme", "me")
        assert [(bill.key, bill.payee) for bill in found] == [("k", "landlord"), ("k2", "landlord")]

    async def test_a_bill_that_was_not_paid_is_authorized_anew(
        self, store: Store, clock: SteppedClock
    ) -> None:
        await store.put_authorized_bill(BILL)
        authorized_at = clock.advance()
        dearer = evolve(BILL, amount=CNY.money(9), trip="t2")
        await store.put_authorized_bill(dearer)
        assert await store.find_authorized_bill("k") == evolve(dearer, authorized_at=authorized_at)

    async def test_large_amounts_and_fees_are_exact(self, store: Store) -> None:
        amount, fee = Money(10**30 + 1, DBC), Money(7, Currency("FEE", 8))
        await store.put_authorized_bill(evolve(BILL, amount=amount))
        payment = Payment(key="k", proof="x", amount=amount, at=START, fee=fee)
        await store.put_payment("t1", payment)
        found = await store.find_recorded_payment("k")
        assert found is not None
        assert found.payment == payment
        assert found.payment.at.astimezone(UTC) == START

    async def test_payments_are_listed_as_they_were_authorized(
        self, store: Store, clock: SteppedClock
    ) -> None:
        await store.begin_trip("t1", "run", SPEC, "l1")
        await store.begin_trip("t2", "renew", SPEC, "l1")
        for key, lease, trip in (
            ("k3", "l1", "t1"),
            ("k1", "", "t1"),
            ("k2", "l1", "t2"),
            ("k4", "l2", "t3"),
        ):
            await store.put_authorized_bill(evolve(BILL, key=key, lease=lease, trip=trip))
            clock.advance()
        await store.put_authorized_bill(evolve(BILL, key="unpaid"))
        for key, trip in (("k2", "t2"), ("k4", "t3"), ("k1", "t1"), ("k3", "t1")):
            await store.put_payment(trip, evolve(PAYMENT, key=key))
        assert [item.key for item in await store.list_trip_payments("t1")] == ["k3", "k1"]
        assert [item.key for item in await store.list_lease_payments("l1")] == ["k3", "k1", "k2"]
        assert [item.key for item in await store.list_lease_payments("l2")] == ["k4"]

    async def test_what_is_not_there(self, store: Store) -> None:
        await store.confirm_recorded_payment("k")
        assert await store.find_authorized_bill("k") is None
        assert await store.find_recorded_payment("k") is None
        assert await store.list_trip_payments("t1") == []
        assert await store.list_lease_payments("l1") == []


class MailBindingStoreContract(StoreContract):
    """`gpurent.ports.payment_store.MailBindingStore`."""

    async def test_one_unfinished_binding_for_each_address_of_an_account(self, store: Store) -> None:
        for account, key, known in (
            ("me", "k1", "k1"),
            ("me", "k2", "k1"),
            ("you", "k3", "k3"),
            ("", "k4", "k1"),
        ):
            assert await store.claim_binding_key("acme", account, "a@b", key) == known
        await store.end_mail_binding("acme", "me", "a@b")
        assert await store.claim_binding_key("acme", "me", "a@b", "k5") == "k5"
        assert await store.claim_binding_key("acme", "you", "a@b", "k6") == "k3", "another account's"
        assert await store.claim_binding_key("acme", "me", "c@d", "k7") == "k7", "another address"

    async def test_of_two_bindings_at_once_one_begins(self, store: Store, other: Store) -> None:
        one, two = await asyncio.gather(
            store.claim_binding_key("acme", "me", "a@b", "k1"),
            other.claim_binding_key("acme", "me", "a@b", "k2"),
        )
        assert one == two
        assert await store.claim_binding_key("acme", "me", "a@b", "k3") == one

    async def test_a_binding_that_was_never_begun(self, store: Store) -> None:
        await store.end_mail_binding("acme", "me", "a@b")
        assert await store.claim_binding_key("acme", "me", "a@b", "k1") == "k1"
