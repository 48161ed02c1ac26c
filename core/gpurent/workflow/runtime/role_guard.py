"""Keeps what a plugin lets escape inside that plugin: its foreign exceptions become errors that name it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from attrs import frozen

from gpurent.errors import GpurentError
from gpurent.terminal_text import ForeignText
from gpurent.workflow.runtime.account_stamp import NO_ACCOUNT, AccountStamp
from gpurent.workflow.runtime.unforeseen import to_plugin_error

RoleT = TypeVar("RoleT")
T = TypeVar("T")
# Of these alone, an error may say what was spent; all others are free by their contract, whatever the plugin says.
_SPENDING_METHODS = frozenset(
    {
        *(
            "reserve_lease",
            "confirm_lease",
            "release_lease",
            "pay_bill",
            "request_binding",
            "complete_binding",
        ),
        *("create_volume", "delete_volume"),
    }
)
# The object that is being called: what it calls on itself is left alone, since it may catch its own exceptions.
_current_plugin: ContextVar[object] = ContextVar("_current_plugin", default=None)


def guard_role(made: RoleT, name: str, stamp: AccountStamp = NO_ACCOUNT) -> RoleT:
    """Return ``made``, the object of the entry ``name``, of a subclass whose methods raise only errors of gpurent.

    ``stamp``: what the plugin and core tell each other is of that account, whose name the plugin does not know.
    """
    kind: Any = type(made)
    object.__setattr__(made, "__class__", _make_guarded_class(kind, name, stamp))
    return made


@cache
def _make_guarded_class(kind: type[Any], name: str, stamp: AccountStamp) -> type[Any]:
    members: dict[str, Any] = {}
    for method, declared in _find_role_methods(kind).items():
        found = inspect.getattr_static(kind, method)
        guard = _Guard(kind, name, method, _list_result_classes(declared), stamp)
        if isinstance(found, property):
            members[method] = property(guard.call)
        elif inspect.isfunction(found):
            # A plugin may also write ``def`` and return what another coroutine function returns.
            is_async = inspect.iscoroutinefunction(declared) or inspect.iscoroutinefunction(found)
            members[method] = wraps(found)(guard.make_async_method() if is_async else guard.make_method())
    members |= {"__slots__": (), "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    meta: Any = type(kind)
    guarded: type[Any] = meta(kind.__name__, (kind,), members)
    return guarded


def _find_role_methods(kind: type[Any]) -> dict[str, Any]:
    """Return what the roles of ``kind`` declare, by name."""
    roles = [base for base in reversed(kind.__mro__) if base.__module__.startswith("gpurent.roles.")]
    return {name: item for role in roles for name, item in vars(role).items() if not name.startswith("_")}


def _list_result_classes(declared: Any) -> tuple[type[Any], ...]:
    """Return the classes of what a method returns; empty if its annotation is not that simple."""
    try:
        hint = get_type_hints(declared)["return"]
    except (KeyError, NameError, TypeError):
        return ()
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    classes = [get_origin(part) or part for part in parts]
    return tuple(classes) if all(isinstance(item, type) for item in classes) else ()


def _is_raised_by_core(error: GpurentError) -> bool:
    """Return whether what core raised went through the plugin, which had called core."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith("gpurent.")


@frozen
class _Guard:
    """Wraps the ``method`` of ``kind``, the class of the plugin for the entry ``name``."""

    kind: type[Any]
    name: str
    method: str
    result_classes: tuple[type[Any], ...]
    stamp: AccountStamp

    def make_method(self) -> Callable[..., Any]:
        def call(plugin: object, *given: Any, **named: Any) -> Any:
            return self.call(plugin, *given, **named)

        return call

    def make_async_method(self) -> Callable[..., Any]:
        async def call(plugin: object, *given: Any, **named: Any) -> Any:
            if _current_plugin.get() is plugin:
                return await self._call_plugin(plugin, *given, **named)
            given, named = self.stamp.remove_from_arguments(given, named)
            with self._converted_errors(plugin):
                result = self._check_result(await self._call_plugin(plugin, *given, **named))
            return self.stamp.add(result)

        return call

    def call(self, plugin: object, *given: Any, **named: Any) -> Any:
        if _current_plugin.get() is plugin:
            return self._call_plugin(plugin, *given, **named)
        given, named = self.stamp.remove_from_arguments(given, named)
        with self._converted_errors(plugin):
            result = self._check_result(self._call_plugin(plugin, *given, **named))
        return self.stamp.add(result)

    def _call_plugin(self, plugin: object, *given: Any, **named: Any) -> Any:
        member = getattr(self.kind, self.method)
        return member.__get__(plugin) if isinstance(member, property) else member(plugin, *given, **named)

    def _check_result(self, result: T) -> T:
        if self.result_classes and not isinstance(result, self.result_classes):
            raise TypeError(f"{self.method} returned {type(result).__name__}")
        return result

    @contextmanager
    def _converted_errors(self, plugin: object) -> Iterator[None]:
        token = _current_plugin.set(plugin)
        try:
            yield
        except GpurentError as error:
            if self.method not in _SPENDING_METHODS:
                error.spent = None
            if not _is_raised_by_core(error):
                # It may quote the service, whose lines must not pose as ours.
                error.hint = ForeignText(error.hint)
            error.hint = self.stamp.name_account(error.hint)
            raise
        except Exception as error:
            package = self.kind.__module__.partition(".")[0]
            raise to_plugin_error(self.name, package, error) from error
        finally:
            _current_plugin.reset(token)
