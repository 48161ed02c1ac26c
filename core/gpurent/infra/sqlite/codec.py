"""Converts domain values to JSON and back without loss. Refuses to write secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, NoReturn, TypeVar, get_args

import cattrs

from gpurent.domain.offer import Metered, Prepaid, Tariff
from gpurent.domain.secret import Secret

T = TypeVar("T")


def _refuse_secret(value: Secret) -> NoReturn:
    raise TypeError("a secret is never written to the journal")


def _format_time(value: datetime) -> str:
    if value.tzinfo is None:
        raise TypeError(f"a time without a zone: {value}")
    return value.astimezone(UTC).isoformat()


def _add_kind(kind: type, plain: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """Wrap ``plain`` to add the name of the class, so that `_structure_tariff` can tell the two classes apart."""
    return lambda value: {"kind": kind.__name__.lower(), **plain(value)}


def _structure_tariff(value: Mapping[str, Any], converter: cattrs.Converter) -> Metered | Prepaid:
    kinds: dict[str, type[Metered] | type[Prepaid]] = {"metered": Metered, "prepaid": Prepaid}
    return converter.structure({k: v for k, v in value.items() if k != "kind"}, kinds[value["kind"]])


@cache
def get_converter() -> cattrs.Converter:
    """Return the only converter: ISO times in UTC, durations in whole microseconds, decimals as text."""
    # The values are our own: a mismatch is a bug whose details no user reads, and detailed validation slows each start.
    made = cattrs.Converter(detailed_validation=False)
    made.register_unstructure_hook(datetime, _format_time)
    made.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    made.register_unstructure_hook(timedelta, lambda span: span // timedelta(microseconds=1))
    made.register_structure_hook(timedelta, lambda micros, _: timedelta(microseconds=int(micros)))
    made.register_unstructure_hook(Decimal, str)
    made.register_structure_hook(Decimal, lambda text, _: Decimal(text))
    made.register_unstructure_hook(Secret, _refuse_secret)
    for kind in get_args(Tariff):
        made.register_unstructure_hook(kind, _add_kind(kind, made.gen_unstructure_attrs_fromdict(kind)))
    made.register_structure_hook(Tariff, lambda value, _: _structure_tariff(value, made))
    made.register_structure_hook_func(
        lambda kind: getattr(kind, "__origin__", None) is Sequence,
        lambda value, kind: tuple(made.structure(item, get_args(kind)[0]) for item in value),
    )
    return made


def dumps(value: object) -> str:
    """Return ``value`` as one line of JSON with sorted keys."""
    return json.dumps(get_converter().unstructure(value), ensure_ascii=False, sort_keys=True)


def loads(text: str, kind: type[T]) -> T:
    """Return the value that `dumps` wrote. Raises `StorageError` for a text that is damaged."""
    try:
        return get_converter().structure(json.loads(text), kind)
    except Exception as error:
        from gpurent.infra.sqlite.database_errors import make_damage_error

        raise make_damage_error(error) from error
