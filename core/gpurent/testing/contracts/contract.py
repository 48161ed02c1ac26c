"""The base of contract classes: a test class that leaves out what it has to define is an error, not skipped."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from inspect import getattr_static
from typing import NoReturn, TypeVar, cast

import pytest

T = TypeVar("T")


class Contract(ABC):  # noqa: B024 - its subclasses have them
    """The base of all contract classes.

    pytest collects no abstract class and does not say so: an author would see no failure, since nothing was tested.
    Therefore a subclass whose name begins with ``Test`` raises `TypeError` where it is defined if something is missing.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        missing = {*_list_abstract_names(cls), *_list_undefined_variables(cls)}
        if missing and cls.__name__.startswith("Test"):
            contracts = ", ".join(base.__name__ for base in cls.__bases__)
            what = ", ".join(sorted(missing))
            raise TypeError(
                f"{cls.__name__} tests nothing yet: {contracts} needs {what}; define it in the class"
            )


def _list_abstract_names(cls: type) -> list[str]:
    # Read without the descriptor protocol: what a fixture gives to its class does not know that it is abstract.
    return [
        name for name in dir(cls) if getattr(getattr_static(cls, name, None), "__isabstractmethod__", False)
    ]


def _list_undefined_variables(cls: type) -> list[str]:
    declared = [pair for base in cls.__mro__ for pair in vars(base).get("__annotations__", {}).items()]
    return [name for name, kind in declared if str(kind).startswith("ClassVar") and not hasattr(cls, name)]


def require_capability(role: object, capability: Callable[..., T], name: str) -> T:
    """Return ``role`` as one with the capability, a class; skips the test, and says what ``name`` lacks, if it does."""
    assert isinstance(capability, type)
    if not isinstance(role, capability):
        skip_without(capability.__name__, name)
    return cast("T", role)


def skip_without(what: str, name: str) -> NoReturn:
    """Skip the test, since ``name`` has no such thing."""
    pytest.skip(f"{name} has no {what}")
