"""The query language of searches and lists: filters, orders and pages."""

from __future__ import annotations

import base64
import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from gpurent.api import parse_exact_json, render_exact_json
from gpurent_plugin_vast.simulator.amounts import parse_number
from gpurent_plugin_vast.simulator.refusal import invalid_args

Row = Mapping[str, Any]
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "lt": operator.lt,
    "gte": operator.ge,
    "lte": operator.le,
}


def matches(row: Row, filters: Mapping[str, Any]) -> bool:
    """Return whether ``row`` passes every filter, each ``{field: {operator: value}}``. Raises `VastRefusal`.

    Numbers may come as text. A field that no row has, or an operator that does not exist, is refused (assumed).
    """
    return all(_passes(row, name, wish) for name, wish in filters.items() if wish is not None)


def _passes(row: Row, name: str, wish: Any) -> bool:
    if name not in row:
        raise invalid_args(f"unknown field {name}")
    tests = wish if isinstance(wish, Mapping) else {"eq": wish}
    return all(_compare(name, row[name], test, value) for test, value in tests.items())


def _compare(name: str, found: Any, test: str, wanted: Any) -> bool:
    if test in ("in", "notin"):
        if not isinstance(wanted, list):
            raise invalid_args(f"{test} of {name} takes a list")
        return any(_equals(name, found, one) for one in wanted) == (test == "in")
    if test not in _COMPARISONS:
        raise invalid_args(f"unknown operator {test}")
    if test in ("eq", "neq"):
        return _equals(name, found, wanted) == (test == "eq")
    left, right = parse_number(found), parse_number(wanted)
    if right is None:
        raise invalid_args(f"{test} of {name} takes a number")
    return left is not None and _COMPARISONS[test](left, right)


def _equals(name: str, found: Any, wanted: Any) -> bool:
    if isinstance(found, bool):
        return str(wanted).lower() in (("true", "1") if found else ("false", "0"))
    if isinstance(found, int | Decimal):
        number = parse_number(wanted)
        return number is not None and number == found
    if name == "geolocation" and isinstance(wanted, str) and isinstance(found, str):
        return wanted in (found, found.rpartition(", ")[2])
    return bool(found == wanted)


def sort_rows(rows: Sequence[Row], order: Sequence[tuple[str, bool]]) -> list[Row]:
    """Return the rows in order; each column with whether it descends. Raises `VastRefusal` for an unknown one."""
    found = list(rows)
    for column, descends in reversed(order):
        if any(column not in row for row in found):
            raise invalid_args(f"unknown column {column}")
        found.sort(key=partial(_get_sort_key, column), reverse=descends)
    return found


def _get_sort_key(column: str, row: Row) -> tuple[int, Any]:
    value = row[column]
    if value is None:
        return (0, 0)
    return (1, value) if isinstance(value, bool | int | Decimal) else (2, str(value))


def parse_order(value: Any) -> list[tuple[str, bool]]:
    """Return an order given as ``[[column, "asc"]]``, or as ``{"col": …, "dir": …}`` or a list of these."""
    if value is None:
        return []
    if isinstance(value, Mapping) or (isinstance(value, list) and value and isinstance(value[0], str)):
        value = [value]
    if not isinstance(value, list):
        raise invalid_args("the order is a list")
    return [_parse_column(item) for item in value]


def _parse_column(item: Any) -> tuple[str, bool]:
    if isinstance(item, Mapping):
        item = [item.get("col"), item.get("dir", "asc")]
    if not (isinstance(item, list) and len(item) == 2 and isinstance(item[0], str)):
        raise invalid_args("a column of the order is [name, direction]")
    if item[1] not in ("asc", "desc"):
        raise invalid_args(f"unknown direction {item[1]}")
    return item[0], item[1] == "desc"


def take_page(
    rows: Sequence[Row], order: Sequence[tuple[str, bool]], limit: int, token: str
) -> tuple[list[Row], str | None]:
    """Return one page of ``rows`` after ``token``, and the token of the next one; None if that was the last.

    A token stands for a place in the order, so that it holds when rows come or go. Raises `VastRefusal`.
    """
    if token:
        mark = _read_token(token, [column for column, _descends in order])
        ranked = sort_rows([*rows, mark], order)
        start = next(number for number, row in enumerate(ranked) if row is mark)
        after = [row for row in ranked[start + 1 :] if any(row[name] != mark[name] for name, _ in order)]
    else:
        after = sort_rows(rows, order)
    page = after[:limit]
    if len(after) <= limit:
        return page, None
    return page, _make_token({column: page[-1][column] for column, _descends in order})


def _make_token(values: Row) -> str:
    return base64.b64encode(render_exact_json({"values": values}).encode()).decode()


def _read_token(token: str, columns: Sequence[str]) -> Row:
    try:
        values = parse_exact_json(base64.b64decode(token, validate=True))["values"]
        return {column: values[column] for column in columns}
    except (ValueError, KeyError, TypeError):
        raise invalid_args("invalid token") from None
