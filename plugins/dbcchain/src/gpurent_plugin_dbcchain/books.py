"""What orders cost, as read from the chain: kept in the notes, since nodes forget the state of old blocks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from gpurent.api import USD, Charge, ChargeKind, Money, PluginState, Rate
from gpurent_plugin_dbcchain import wire

_BACK = (ChargeKind.REFUND,)


class Bookkeeping:
    """Movements by the key of their bill, each entered once by its ``ref``."""

    def __init__(self, notes: PluginState) -> None:
        self._notes = notes

    def enter(
        self, key: str, ref: str, kind: ChargeKind, units: int, *, at: str, note: str, average: int
    ) -> None:
        """``average`` is 10^-6 USD for one DBC at that time."""
        rows = self._rows(key)
        if units and all(row["ref"] != ref for row in rows):
            rows.append(
                {"ref": ref, "kind": kind.value, "units": units, "at": at, "note": note, "average": average}
            )
            self._notes.put(f"book/{key}", json.dumps(rows))
        keys = self._keys()
        if key not in keys:
            self._notes.put("books", json.dumps([*keys, key]))

    def _keys(self) -> list[str]:
        found: list[str] = json.loads(self._notes.get("books") or "[]")
        return found

    def _rows(self, key: str) -> list[dict[str, str | int]]:
        found: list[dict[str, str | int]] = json.loads(self._notes.get(f"book/{key}") or "[]")
        return found

    def charges(self, keys: Iterable[str]) -> list[Charge]:
        """The movements under ``keys``, oldest first."""
        found = [_charge(row) for key in dict.fromkeys(keys) for row in self._rows(key)]
        return sorted(found, key=lambda charge: charge.at)

    def spent(self, keys: Iterable[str] | None = None) -> Money:
        """What left for good, under ``keys`` or in all."""
        total = 0
        for charge in self.charges(self._keys() if keys is None else keys):
            total += -charge.money.amount if charge.kind in _BACK else charge.money.amount
        return wire.money(total)


def _charge(row: dict[str, str | int]) -> Charge:
    at = datetime.fromisoformat(str(row["at"]))
    average = Decimal(int(row["average"])) / 10**6
    return Charge(
        at=at,
        kind=ChargeKind(str(row["kind"])),
        money=wire.money(int(row["units"])),
        ref=str(row["ref"]),
        note=str(row["note"]),
        rate=Rate(wire.DBC, USD, average, at, "the chain's own price"),
    )
