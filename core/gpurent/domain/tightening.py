"""Which value counts when a project file's meets the user's own: the one that limits more. Pure."""

from __future__ import annotations

from typing import Any

from gpurent.domain.field_kinds import Tighter, TripField


def choose_tighter(field: TripField, own: Any, given: Any) -> Any:
    """Return the value that limits more; None is no limit, and equal values are ``given``.

    Both are values of ``field``, which has a direction; of a field whose values are added, both together.
    """
    if own is None or given is None:
        return own if given is None else given
    match field.tighter:
        case Tighter.LESS | Tighter.EARLIER:
            return min(given, own)
        case Tighter.MORE:
            return max(given, own)
        case Tighter.LAST_CHOICE:
            return max(given, own, key=field.choices.index)
        case Tighter.ADDED:
            return tuple(dict.fromkeys((*own, *given)))
        case None:
            raise ValueError(f"{field.name} limits nothing")
