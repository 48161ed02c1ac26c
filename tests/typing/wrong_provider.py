"""Mistakes by a third-party author that the checker must report, one per marked line; see `test_api_types`."""

from __future__ import annotations

from collections.abc import Sequence

from gpurent.api import CNY, LeaseEntry, LeaseProvider, MachineProfile, Money, PluginContext, hookimpl


class Forgetful(LeaseProvider):
    pass


def build(context: PluginContext) -> LeaseProvider:
    return Forgetful()  # wrong: abstract


def add(price: Money) -> None:
    print(price + 0.5)  # wrong: operator


def amount() -> Money:
    return Money(1.5, CNY)  # wrong: arg-type


async def ask(context: PluginContext) -> None:
    await context.http.fetch("/offers")  # wrong: attr-defined


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    profile = MachineProfile(user="root")
    return [LeaseEntry(name="site", summary="", build=build, profile=profile)]
