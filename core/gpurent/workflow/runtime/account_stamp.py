"""Names the account in what core and a plugin tell each other: a plugin knows only the name of its provider.

Every value that bears the name of a provider passes here on its way to the plugin and back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import evolve, frozen

from gpurent.domain.evidence import Known
from gpurent.domain.lease import Lease, PendingOrder
from gpurent.domain.offer import Offer, Order, Requirements
from gpurent.domain.provider_names import get_base_name, join_account
from gpurent.domain.volume import Volume, VolumeOffer

T = TypeVar("T")
TextT = TypeVar("TextT", bound=str)
NAMED_TYPES: tuple[type[Any], ...] = (Offer, Lease, Volume, VolumeOffer)
"""The values of plugins that bear the name of a provider."""
HOLDER_TYPES: tuple[type[Any], ...] = (Known, Order, PendingOrder)
"""Those that hold such a value."""


@frozen
class AccountStamp:
    """The account ``label``; empty: values are left as they are.

    ``providers``: what the plugin calls the providers of this account, in the commands that it tells the user.
    """

    label: str
    providers: frozenset[str] = frozenset()

    def add(self, value: T) -> T:
        """Return ``value``, from the plugin, with the account's name in place of the provider's."""
        if not self.label:
            return value
        return self._name_in_texts(_rename(value, lambda name: join_account(get_base_name(name), self.label)))

    def remove_from_arguments(
        self, given: tuple[Any, ...], named: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a call with the name that the plugin knows in place of the account's."""
        if not self.label:
            return given, dict(named)
        return (
            tuple(_rename(value, get_base_name) for value in given),
            {key: _rename(value, get_base_name) for key, value in named.items()},
        )

    def name_account(self, text: TextT) -> TextT:
        """Return a text with this account in place of the provider in the commands of gpurent that it names."""
        if not self.label or not self.providers or "gpurent " not in text:
            return text
        names = "|".join(sorted(map(re.escape, self.providers)))
        pattern = rf"(gpurent (?:[a-z-]+ )+(?:--[a-z-]+ |-p )?)({names})(?![\w@-])"
        return type(text)(re.sub(pattern, lambda found: found[1] + join_account(found[2], self.label), text))

    def _name_in_texts(self, value: T) -> T:
        from gpurent.roles.account import MoneyInstructions  # lazy: a listing calls no plugin
        from gpurent.roles.lease import TaskInstructions

        if isinstance(value, MoneyInstructions):
            steps = tuple(map(self.name_account, value.steps))
            return evolve(value, steps=steps, advice=self.name_account(value.advice))
        if isinstance(value, TaskInstructions):
            return evolve(value, steps=tuple(map(self.name_account, value.steps)))
        return value


NO_ACCOUNT = AccountStamp("")


def _rename(value: T, rename: Callable[[str], str]) -> T:
    """Return ``value`` with every provider's name in it renamed."""
    found: Any = value
    if isinstance(found, (Offer, Volume, VolumeOffer)):
        found = evolve(found, provider=rename(found.provider))
    elif isinstance(found, Lease):
        found = evolve(
            found,
            provider=rename(found.provider),
            offer=_rename(found.offer, rename),
            pending=_rename(found.pending, rename),
        )
    elif isinstance(found, Known):
        found = evolve(found, items=tuple(_rename(item, rename) for item in found.items))
    elif isinstance(found, Requirements):
        found = evolve(found, mounted=_rename(found.mounted, rename))
    elif isinstance(found, Order):
        found = evolve(found, offer=_rename(found.offer, rename), volume=_rename(found.volume, rename))
    elif isinstance(found, PendingOrder):
        found = evolve(found, offer=_rename(found.offer, rename))
    return found  # type: ignore[no-any-return]
