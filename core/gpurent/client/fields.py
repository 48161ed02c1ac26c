"""The fields of a trip as keyword arguments: the names and values of the project file, or typed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpurent.composition.trip_checks import (
    check_requirements,
    check_trip,
    let_budget_authorize,
    name_requirements_file,
)
from gpurent.domain.field_kinds import FieldKind, TripField
from gpurent.domain.field_values import EXPECTED_MESSAGES, parse_toml_value
from gpurent.domain.money import Money, UnitPrice
from gpurent.domain.offer import Requirements, TrafficPrice
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.domain.trip_fields import FIELDS_BY_NAME
from gpurent.domain.trip_values import make_trip_spec
from gpurent.errors import UsageError
from gpurent.locale import _, join_list

if TYPE_CHECKING:
    from gpurent.composition.system import EntryPointRegistry

_TYPES: Mapping[FieldKind, type | tuple[type, ...]] = {
    FieldKind.DURATION: timedelta,
    FieldKind.TIME: (timedelta, datetime),
    FieldKind.MONEY: Money,
    FieldKind.PRICE: UnitPrice,
    FieldKind.TRAFFIC_PRICE: TrafficPrice,
}


def make_trip(
    registry: EntryPointRegistry, command: str | Sequence[str], fields: Mapping[str, Any]
) -> TripSpec:
    """Return the trip of a job. Raises `UsageError` for a field that does not exist, or has another kind of value.

    A budget authorizes what is spent within it, as the command's own option does.
    """
    values = parse_fields({**fields, "command": command})
    values = {"folder": str(Path.cwd()), **values}
    spec = make_trip_spec(name_requirements_file(values))
    return check_trip(registry, let_budget_authorize(spec, values))


def make_rental(registry: EntryPointRegistry, fields: Mapping[str, Any]) -> TripSpec:
    """Return the trip that only rents a machine; raises as `make_trip`."""
    values = parse_fields(fields)
    return check_trip(registry, let_budget_authorize(make_trip_spec(values), values))


def make_wishes(fields: Mapping[str, Any]) -> tuple[Requirements, TripLimits]:
    """Return what a machine has to be, and for how long it is wanted; raises as `make_trip`."""
    spec = make_trip_spec(parse_fields(fields))
    check_requirements(spec.requirements)
    return spec.requirements, spec.limits


def parse_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values by field name. A name may end with ``_``, as in ``for_``, which Python needs."""
    named = {name.removesuffix("_"): value for name, value in fields.items() if value is not None}
    unknown = sorted(named.keys() - FIELDS_BY_NAME.keys())
    if unknown:
        text = _("there are no fields {names}").format(names=join_list(unknown))
        raise UsageError(text, hint=_("See them: gpurent schema"))
    return {name: _parse(FIELDS_BY_NAME[name], value) for name, value in named.items()}


def _parse(field: TripField, value: Any) -> object:
    if field.kind is FieldKind.PATH and not field.relative_to_upload:
        # Relative to the working folder, as on the command line.
        return str(Path(value).absolute())
    kind = _TYPES.get(field.kind)
    if kind is not None and isinstance(value, kind):
        return value
    try:
        return parse_toml_value(field, _to_toml(field, value), datetime.now(UTC))
    except ValueError as error:
        expected = str(error) or _(EXPECTED_MESSAGES[field.kind])
        raise UsageError(
            f"{field.name}: {value!r}: {expected}", hint=f"{field.name} = {field.example}"
        ) from None


def _to_toml(field: TripField, value: Any) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str) and field.kind.is_list:
        return [value]
    if isinstance(value, tuple | list):
        return [str(item) if isinstance(item, Path) else item for item in value]
    return value
