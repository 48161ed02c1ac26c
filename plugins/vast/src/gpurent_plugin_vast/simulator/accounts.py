"""Accounts: an API key, credit, SSH keys."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from attrs import define, field, frozen

from gpurent_plugin_vast.simulator.amounts import make_usd
from gpurent_plugin_vast.simulator.instances import SshKey, VastInstance
from gpurent_plugin_vast.simulator.refusal import invalid_args
from gpurent_plugin_vast.simulator.schedule import ScheduledJob

MICROSECOND = timedelta(microseconds=1)
_KEY_TYPES = ("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-")


@frozen
class CardPayment:
    """Credit that was bought, in micro-USD."""

    id: int
    at: datetime
    amount: int


@define(eq=False, kw_only=True)
class VastAccount:
    """One account. ``delete_at``: when the storage of an account without credit is deleted."""

    id: int
    email: str
    api_key: str = field(factory=lambda: secrets.token_hex(32), repr=False)
    payments: list[CardPayment] = field(factory=list)
    keys: dict[int, SshKey] = field(factory=dict)
    instances: list[VastInstance] = field(factory=list)
    jobs: dict[int, ScheduledJob] = field(factory=dict)
    out_since: datetime | None = None
    delete_at: datetime | None = None

    def compute_credit(self, at: datetime) -> int:
        """Return the credit at ``at``, in micro-USD; it may be below zero."""
        paid = sum(payment.amount for payment in self.payments if payment.at <= at)
        return paid + sum(instance.compute_balance_effect(at) for instance in self.instances)

    def find_end_of_credit(self, start: datetime, end: datetime) -> datetime | None:
        """Return the first microsecond after ``start``, up to ``end``, at which no credit is left; None if there is.

        Nothing else may happen to the account in between: then its credit only falls.
        """
        if self.compute_credit(end) > 0 or not any(instance.is_billed for instance in self.instances):
            return None
        low, high = 0, (end - start) // MICROSECOND
        while low < high:
            middle = (low + high) // 2
            if self.compute_credit(start + middle * MICROSECOND) <= 0:
                high = middle
            else:
                low = middle + 1
        return start + low * MICROSECOND

    def list_instances(self) -> list[VastInstance]:
        """Return the instances that are there."""
        return [instance for instance in self.instances if instance.destroyed_at is None]

    def find_instance(self, instance_id: int) -> VastInstance | None:
        return next((found for found in self.list_instances() if found.id == instance_id), None)

    def describe(self, at: datetime) -> dict[str, Any]:
        """Return it as users/current shows it. What can be spent is ``credit``."""
        first = next(iter(self.keys.values()), None)
        return {
            "id": self.id,
            "username": self.email.partition("@")[0],
            "email": self.email,
            "balance": 0,
            "credit": make_usd(self.compute_credit(at)),
            "ssh_key": first.line if first else "",
            "sid": None,
            "can_pay": True,
        }


def parse_public_key(value: Any) -> str:
    """Return a public key as one line. Raises `VastRefusal` if it is none."""
    if not isinstance(value, str) or len(value.strip().splitlines()) != 1 or len(value) > 8192:
        raise invalid_args("ssh_key is not one public key")
    line = value.strip()
    kind, _, rest = line.partition(" ")
    try:
        base64.b64decode(rest.partition(" ")[0], validate=True)
    except (binascii.Error, ValueError):
        raise invalid_args("ssh_key is not one public key") from None
    if not kind.startswith(_KEY_TYPES) or not rest.strip():
        raise invalid_args("ssh_key is not one public key")
    return line


def find_key(keys: Iterable[SshKey], line: str) -> SshKey | None:
    """Return the key with that type and body, whatever its comment."""
    return next((key for key in keys if key.line.split()[:2] == line.split()[:2]), None)
