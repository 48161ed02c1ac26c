"""Trials of a machine: offers under names of our own, which only who names them is shown."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from attrs import evolve

from gpurent.api import Offer, Prepaid, UnitPrice
from gpurent_plugin_gpu1024 import _, wire

TRIAL_SUFFIX = "-trial"
TRIAL_TIME = timedelta(minutes=15)
MAX_TRIAL_FEE = wire.DBC.money(1)


def make_trial_offer(offer: Offer) -> Offer:
    """Return the offer of a trial of the machine: one of its GPUs for 15 minutes, once, for a fee below 1 DBC."""
    return Offer(
        key=f"{offer.key}{TRIAL_SUFFIX}",
        provider=offer.provider,
        hardware=evolve(offer.hardware, gpus=1),
        tariff=Prepaid(
            price=UnitPrice(Decimal(0), wire.DOLLAR),
            minimum=TRIAL_TIME,
            maximum=TRIAL_TIME,
            refundable=False,
            fee=MAX_TRIAL_FEE,
        ),
        available=offer.available,
        location=offer.location,
        score=offer.score,
        note=_(
            "trial: 15 minutes for less than 1 DBC, once per machine; after the first 3 trials the wallet has to hold"
            " 5000 DBC"
        ),
    )


def get_machine_id(offer: Offer) -> str:
    """Return the provider's name of the machine, for a trial of it too."""
    return offer.key.removesuffix(TRIAL_SUFFIX)


def is_trial(offer: Offer) -> bool:
    return offer.key.endswith(TRIAL_SUFFIX)
