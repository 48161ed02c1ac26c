"""The Store's ports: asynchronous, each method under contract; transactions never wait; SQL in one place."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from gpurent.ports import backup_store, lock_store, payment_store, store, volume_store, watch_store

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "gpurent"
CONTRACTS = CORE / "testing" / "contracts" / "store"
PORTS = (store, backup_store, lock_store, payment_store, volume_store, watch_store)
# What opens or closes something, and does not read or write.
SYNCHRONOUS = {"close", "hold_lock"}
SQL_WORD = re.compile("SELECT|INSERT|UPDATE|DELETE|CREATE|BEGIN|COMMIT|PRAGMA|ALTER|DROP")
SQL = re.compile(
    r"(?s)^\s*(SELECT\s.+\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+(TABLE|INDEX)"
    r"|BEGIN(\s+IMMEDIATE)?$|COMMIT$|PRAGMA\s|ALTER\s+TABLE|DROP\s+TABLE)\b"
)


def list_port_methods() -> dict[str, Any]:
    """Return the methods of all ports of the Store by name, but the two that give its other ports."""
    classes = [
        item for module in PORTS for _name, item in inspect.getmembers(module, inspect.isclass)
        if item.__module__ == module.__name__
    ]  # fmt: skip
    return {
        name: member
        for item in classes
        for name, member in vars(item).items()
        if isinstance(member, FunctionType) and not name.startswith("_")
    }


def test_every_method_is_a_coroutine() -> None:
    methods = list_port_methods()
    assert len(methods) > 60
    assert {name for name, made in methods.items() if not inspect.iscoroutinefunction(made)} == SYNCHRONOUS


def test_every_method_has_a_contract_test() -> None:
    called = {
        node.attr
        for path in CONTRACTS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
    }
    fixtures = (CONTRACTS / "base.py").read_text("utf-8")
    assert "closing(" in fixtures, "every handle is closed"
    assert set(list_port_methods()) - called - {"close"} == set()


def list_product_files() -> Iterator[Path]:
    yield from (path for path in CORE.rglob("*.py") if "testing" not in path.parts)
    yield from (ROOT / "plugins").glob("*/src/**/*.py")


def find_waits(tree: ast.AST, within: str) -> list[int]:
    """Return the lines of what waits inside a synchronous ``with`` of an expression that matches ``within``."""
    waiting: tuple[type[ast.expr | ast.stmt], ...] = (ast.Await, ast.AsyncFor, ast.AsyncWith)
    if "transaction" in within:
        waiting += (ast.Yield, ast.YieldFrom)
    return [
        inner.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        and any(re.search(within, ast.unparse(item.context_expr)) for item in node.items)
        for statement in node.body
        for inner in ast.walk(statement)
        if isinstance(inner, waiting)
    ]


def test_nothing_waits_inside_a_write_transaction() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in list_product_files()
        if "write_transaction" in (text := path.read_text("utf-8"))
        and (lines := find_waits(ast.parse(text), "write_transaction"))
    }
    # Here a transaction is passed on to the block of the caller, which is checked above.
    assert set(found) <= {"core/gpurent/infra/sqlite/sessions.py"}, found


@pytest.mark.parametrize(
    "body", ["await x()", "async with x(): pass", "if y:\n        yield 1", "async for _x in y: pass"]
)
def test_what_waits_inside_a_transaction_is_found(body: str) -> None:
    text = f"async def write():\n  with self._database.write_transaction():\n    {body}\n"
    assert find_waits(ast.parse(text), "write_transaction")


def test_nothing_waits_inside_a_lock_that_blocks_the_thread() -> None:
    """Another task would then wait for the lock with the whole thread, so that its holder never goes on."""
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in list_product_files()
        if "lock" in (text := path.read_text("utf-8"))
        and (lines := find_waits(ast.parse(text), r"lock(\(.*\))?$"))
    }
    assert found == {}
    assert find_waits(ast.parse("async def f():\n with self.copies.lock():\n  await x()"), r"lock(\(.*\))?$")


def find_sql(source: str) -> list[int]:
    """Return the lines that import the database or hold a statement for it."""
    found: list[int] = []
    if "sqlite3" not in source and not SQL_WORD.search(source):
        return found
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            if any(name.split(".")[0] == "sqlite3" for name in names):
                found.append(node.lineno)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
            found.append(node.lineno)
    return found


def test_sql_is_in_one_place() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in list_product_files()
        if "sqlite" not in path.parent.name
        and (lines := find_sql(path.read_text("utf-8")))
    }  # fmt: skip
    assert found == {}


@pytest.mark.parametrize(
    "text", ["import sqlite3", "from sqlite3 import connect", "x = 'SELECT a FROM b'", "x = 'DELETE FROM b'"]
)
def test_sql_is_found(text: str) -> None:
    assert find_sql(text)
