"""Which lease or trip a typed text means: one rule for all commands, which never guesses between two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gpurent.errors import UsageError
from gpurent.locale import _, join_list, join_phrases

# How much of the random end of an id is enough, without what stands before it.
MIN_MARK_LENGTH = 3
MAX_SHOWN = 8


def match_ids(given: str, ids: Iterable[str]) -> Sequence[str]:
    """Return the ids that ``given`` may mean: exactly that one, else all that begin so, or whose random end does.

    The random end is what follows the last hyphen: ``k2f`` may mean ``acme-k2f7a``.
    """
    known = list(ids)
    if given in known:
        return [given]
    if not given:
        return []
    return [name for name in known if name.startswith(given) or _has_mark(name, given)]


def _has_mark(name: str, given: str) -> bool:
    return len(given) >= MIN_MARK_LENGTH and name.rpartition("-")[2].startswith(given)


def find_id(given: str, ids: Iterable[str]) -> str | None:
    """Return the id that ``given`` means; None if there is none. Raises `UsageError` if it may mean several."""
    found = match_ids(given, ids)
    if len(found) > 1:
        raise UsageError(
            _("{given} is ambiguous: {many}").format(given=given, many=_join_some(found)),
            hint=_("Type more of it."),
        )
    return found[0] if found else None


def _join_some(names: Sequence[str]) -> str:
    more = len(names) - MAX_SHOWN
    return join_list([*names[:MAX_SHOWN], *(["…"] if more > 0 else [])])


def suggest_id(given: str, ids: Iterable[str], hint: str) -> str:
    """Return ``hint``, and before it the id that is most like ``given``, as a whole or in its random end."""
    from difflib import get_close_matches

    by_text = {name.rpartition("-")[2]: name for name in ids}
    by_text |= {name: name for name in by_text.values()}
    near = get_close_matches(given, list(by_text), 1)
    return join_phrases(_("Did you mean {name}?").format(name=by_text[near[0]]), hint) if near else hint
