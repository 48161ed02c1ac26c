"""Which version of `gpurent.api` a plugin needs, as its entry module declares it: ``REQUIRED_API = (1, 0)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpurent.api import API_VERSION
from gpurent.locale import _

if TYPE_CHECKING:
    from typing import TypeGuard

    from importlib_metadata import EntryPoint

DECLARATION = "REQUIRED_API"
Version = tuple[int, int]


def find_api_problem(required: object, distribution: str, here: Version = API_VERSION) -> str:
    """Return why a plugin that declares ``required`` cannot be used with the API ``here``; empty if it can be.

    None, no declaration, is accepted: such a plugin fails where it uses what is not there.
    """
    if required is None:
        return ""
    if not is_version(required):
        return _("{name} must be two numbers, such as ({major}, {minor})").format(
            name=DECLARATION, major=here[0], minor=here[1]
        )
    if required[0] == here[0] and required[1] <= here[1]:
        return ""
    what = _("needs version {needed} of gpurent.api, but this gpurent has {here}.").format(
        needed=format_version(required), here=format_version(here)
    )
    package = "gpurent" if required > here else distribution
    return f"{what} " + _("Run: {command}").format(command=f"pip install --upgrade {package}")


def is_version(value: object) -> TypeGuard[Version]:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(type(number) is int and number >= 0 for number in value)
    )


def format_version(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def read_declaration(point: EntryPoint) -> object:
    """Return what the source of an entry point's module declares, without running it; None if that is not known.

    For a module that could not be imported: it may have looked for a name that only another version of the API has.
    """
    import ast
    from importlib.util import find_spec

    try:
        found = find_spec(point.module)
        source = found.loader.get_source(point.module) if found and found.loader else None  # type: ignore[attr-defined]
        for node in ast.parse(source or "").body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == DECLARATION:
                return ast.literal_eval(node.value)
    except (Exception, SystemExit):  # noqa: BLE001 - the error of the import is what is reported
        return None
    return None
