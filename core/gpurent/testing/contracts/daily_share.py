"""A part of a contract for every run, the rest for the night: what costs too much to run at each change."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

ContractT = TypeVar("ContractT", bound=type)


def daily_share(index: int, of: int) -> Callable[[ContractT], ContractT]:
    """Return a class decorator that marks all but every ``of``-th inherited test as ``nightly``.

    Test number ``index`` by name, and each ``of``-th after it, are left as they are. Plugins with different ``index``
    run different tests, so that each test of a contract runs with some plugin every time.
    """

    def decorate(cls: ContractT) -> ContractT:
        names = sorted(name for name in dir(cls) if name.startswith("test_"))
        for position, name in enumerate(names):
            if position % of != index % of:
                setattr(cls, name, pytest.mark.nightly(_copy_function(getattr(cls, name))))
        return cls

    return decorate


def _copy_function(function: Any) -> Any:
    """Return a copy with marks of its own: those of the original are for all classes that inherit it."""
    made = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__dict__.update(function.__dict__)
    made.__annotations__ = dict(function.__annotations__)
    made.__qualname__ = function.__qualname__
    if hasattr(function, "pytestmark"):
        made.__dict__["pytestmark"] = list(function.pytestmark)
    return made
