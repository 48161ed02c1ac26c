"""What the contract cannot know: when Tern Cloud charges, and how it rounds."""

from datetime import timedelta

from gpurent.api import ChargeKind, Known, Order, OrderKind, Requirements, Secret
from gpurent.testing.lease_driver import LeaseDriver, make_public_key
from gpurent.testing.sandbox_harness import sandbox_harness

from gpurent_plugin_tern.provider import TernProvider
from gpurent_plugin_tern.simulator.service import FUNDS, TernSimulator


async def test_each_charge_is_rounded_up_to_a_cent() -> None:
    async with sandbox_harness("tern") as sandbox:
        user, simulator = sandbox.user(), sandbox.simulator("tern", TernSimulator)
        user.credentials["tern"] = {name: Secret(text) for name, text in simulator.get_login_fields().items()}
        await simulator.add_money((await user.login("tern")).account)
        found = await user.provider("tern").list_offers(Requirements(gpu="T4"))
        assert isinstance(found, Known)
        offer = next(offer for offer in found.items if offer.key == "t4-ams")
        driver = LeaseDriver(user, "tern", TernProvider)
        order = Order(key="order-1", kind=OrderKind.NEW, offer=offer, public_key=make_public_key())
        await driver.rent_machine(order)
        await sandbox.advance(timedelta(hours=2, minutes=12))
        await driver.release_lease()
        lines = simulator.list_ledger_entries()
        charged = [-line.amount.amount for line in lines if line.kind == "usage"]
        assert charged == [48, 48, 11], "the last 13 minutes are 10.4 cents"
        assert (await driver.sum_charges())[ChargeKind.USAGE] == sum(charged)
        assert (await user.billing("tern").get_balance()).available.amount == FUNDS - sum(charged)


async def test_a_running_machine_has_no_charge_in_its_first_hour() -> None:
    async with sandbox_harness("tern") as sandbox:
        user, simulator = sandbox.user(), sandbox.simulator("tern", TernSimulator)
        user.credentials["tern"] = {name: Secret(text) for name, text in simulator.get_login_fields().items()}
        await simulator.add_money((await user.login("tern")).account)
        found = await user.provider("tern").list_offers(Requirements())
        assert isinstance(found, Known)
        driver = LeaseDriver(user, "tern", TernProvider)
        order = Order(key="order-1", kind=OrderKind.NEW, offer=found.items[0], public_key=make_public_key())
        await driver.rent_machine(order)
        await sandbox.advance(timedelta(minutes=50))
        assert await driver.sum_charges() == {}
        await driver.release_lease()
        assert (await driver.sum_charges())[ChargeKind.USAGE] > 0
