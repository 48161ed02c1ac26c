"""Schema 4: the words of version 0.1 in what was stored before. Works on the stored JSON alone.

A value is recognised by its keys, so that no class of today is needed to read what an older one wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from gpurent.domain.former_names import NEW_EVENT_NAMES

STEP_NAMES = {
    "choose": "select-provider",
    "select": "select-offer",
    "fund": "check-funds",
    "by-hand": "manual-rental",
    "price": "manual-rental.begin",
    "bind": "bind-mail",
    "bind.request": "bind-mail.request",
    "bind.pay": "bind-mail.pay",
    "by": "deadline",
    "save": "save-results",
    "before": "balance-before",
    "page": "instructions",
    "told": "notified",
}
_LEG_STEP_NAMES = {"push": "upload", "pull": "download", "needs": "upload-setup"}
CHARGE_KINDS = {"use": "usage", "deposit-back": "deposit-refund"}
ORDER_KINDS = {"extend": "renew"}
_LEASE_KEYS = {"shop": "provider_data", "found": "machine_facts"}
_OFFER_KEYS = {"shop": "provider_data", "free": "available", "place": "location"}
_FACTS_KEYS = {"cards": "gpus", "packages": "package_manager"}
_DATA_KEYS = {
    "asked": "mail_expected_since",
    "before": "servers_before",
    "confirmed-at": "confirmed_at",
    "cpu": "cpu_container",
    "missed": "missed_probes",
    "restart": "restart_server",
    "since": "created_at",
    "stop": "stop_method",
    "stopped-at": "stopped_at",
}
_NOTE_NAMES = {
    "book": "charges",
    "left": "abandoned",
    "sent": "extrinsic",
    "whose": "order-key",
}
_NOTE_KEYS = {
    "memory": {"wrote": "last_write", "said": "warned_at"},
    "sent": {"landed": "included", "lapsed": "expired"},
}

Json = dict[str, Any]


def rename_step(name: str) -> str:
    """``leg0.push`` as ``leg0.upload``; what a plugin may have named keeps its name."""
    leg, mark, rest = name.partition(".")
    if mark and leg.removeprefix("leg").isdecimal():
        return f"{leg}.{_LEG_STEP_NAMES.get(rest, rest)}"
    return STEP_NAMES.get(name, name)


def rename_charge(kind: str) -> str:
    return CHARGE_KINDS.get(kind, kind)


def rename_words(text: str) -> str:
    """A stored value, of whatever class, with its keys and kinds renamed at every depth."""
    return dump_json(_convert(json.loads(text)))


def rename_note(name: str) -> str:
    """``whose/KEY`` as ``order-key/KEY``."""
    head, mark, rest = name.partition("/")
    if not mark:
        return "charge-keys" if name == "books" else name
    if head == "saved":
        return f"results-saved/{rest}"
    return f"{_NOTE_NAMES.get(head, head)}{mark}{rest}"


def convert_note(text: str) -> str:
    """``["whose/KEY", "value"]`` as JSON: the value in today's form. What has another form than ours stays."""
    name, value = json.loads(text)
    head = name.partition("/")[0]
    try:
        found = json.loads(value) if head == "book" or head in _NOTE_KEYS else None
    except ValueError:
        found = None
    if head == "book" and isinstance(found, list):
        return dump_json([_convert(row) for row in found])
    if head in _NOTE_KEYS and isinstance(found, dict):
        return json.dumps(_rename_keys(found, _NOTE_KEYS[head]))
    return str(value)


def _convert(value: Any) -> Any:
    if isinstance(value, list):
        return [_convert(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: _convert(item) for name, item in value.items()}
    for keys, convert in _CONVERTERS:
        if keys <= found.keys():
            return convert(found)
    return found


def _convert_offer(offer: Json) -> Json:
    return _rename_data(_rename_keys(offer, _OFFER_KEYS))


def _convert_lease(lease: Json) -> Json:
    return _rename_data(_rename_keys(lease, _LEASE_KEYS))


def _rename_data(value: Json) -> Json:
    if "provider_data" in value:
        value["provider_data"] = _rename_keys(value["provider_data"], _DATA_KEYS)
    return value


def _convert_facts(facts: Json) -> Json:
    if facts["sudo"] == "free":
        facts["sudo"] = "passwordless"
    return _rename_keys(facts, _FACTS_KEYS)


def _convert_spec(spec: Json) -> Json:
    if spec.get("notify"):
        spec["notify"] = [NEW_EVENT_NAMES.get(name, name) for name in spec["notify"]]
    return spec


def _convert_health(report: Json) -> Json:
    return {**report, "findings": [_rename_keys(found, {"do": "advice"}) for found in report["findings"]]}


def _convert_transfer(report: Json) -> Json:
    return {**report, "skipped": [_rename_keys(name, {"why": "reason"}) for name in report["skipped"]]}


# The first that fits counts.
_CONVERTERS: tuple[tuple[frozenset[str], Callable[[Json], Json]], ...] = (
    (frozenset({"offer", "label", "state"}), _convert_lease),
    (frozenset({"hardware", "tariff", "provider"}), _convert_offer),
    (frozenset({"kind", "onto"}), lambda order: _rename_kind(order, ORDER_KINDS)),
    (frozenset({"kind", "paid", "bill"}), lambda order: _rename_kind(order, ORDER_KINDS)),
    (frozenset({"kind", "ref", "money"}), lambda charge: _rename_kind(charge, CHARGE_KINDS)),
    (frozenset({"kind", "ref", "units"}), lambda charge: _rename_kind(charge, CHARGE_KINDS)),
    (frozenset({"price", "tick"}), lambda tariff: _rename_keys(tariff, {"tick": "billing_increment"})),
    (frozenset({"memory", "used", "busy"}), lambda gpu: _rename_keys(gpu, {"busy": "utilization"})),
    (frozenset({"sudo", "pythons"}), _convert_facts),
    (frozenset({"requirements", "upload", "job"}), _convert_spec),
    (frozenset({"findings", "cudnn"}), _convert_health),
    (frozenset({"skipped", "resumed"}), _convert_transfer),
)


def _rename_kind(value: Json, kinds: Mapping[str, str]) -> Json:
    return {**value, "kind": kinds.get(value["kind"], value["kind"])}


def _rename_keys(value: Json, names: Mapping[str, str]) -> Json:
    return {names.get(name, name): item for name, item in value.items()}


def dump_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
