"""Who may access a file, as Windows writes it in one line (SDDL). Pure: texts in, texts out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

SYSTEM_SID, ADMINISTRATORS_SID = "S-1-5-18", "S-1-5-32-544"
# Creator owner and owner rights: whoever made the file, which is the owner that is judged by itself.
_OWNER_SIDS = ("S-1-3-0", "S-1-3-4")
_OWNER = re.compile(r"O:(S-[0-9-]+|[A-Z]{2})")
_LIST = re.compile(r"D:([A-Z_]*)")
_ALLOWING = ("A", "XA", "OA", "ZA")
EVERYONE_SID = "S-1-1-0"


def make_private_list(user: str, *, is_folder: bool) -> str:
    """Return the access list by which ``user`` (a SID), the system and administrators have everything, nobody else.

    Nothing is inherited from the folder above; of a folder, what is made in it inherits this.
    """
    flags = "OICI" if is_folder else ""
    return "D:P" + "".join(f"(A;{flags};FA;;;{sid})" for sid in (user, SYSTEM_SID, ADMINISTRATORS_SID))


def find_owner(text: str, expand: Callable[[str], str]) -> str:
    """Return the SID of the owner; empty if there is none. ``expand`` turns a two-letter name into its SID."""
    found = _OWNER.search(text)
    return _expand(found[1], expand) if found else ""


def is_owned(owner: str, user: str) -> bool:
    """Return whether a file of ``owner`` is the user's; what an administrator makes may belong to all of them."""
    return owner in (user, ADMINISTRATORS_SID, SYSTEM_SID)


def list_strangers(text: str, user: str, expand: Callable[[str], str]) -> list[str]:
    """Return the SIDs that have any access beside ``user``, the system and administrators, each once.

    A file without an access list is accessible to everyone.
    """
    found = _LIST.search(text)
    if found is None or "NO_ACCESS_CONTROL" in found[1]:
        return [EVERYONE_SID]
    trusted = (user, SYSTEM_SID, ADMINISTRATORS_SID, *_OWNER_SIDS)
    sids = (_expand(sid, expand) for sid in _iter_allowed(text[found.end() :]))
    return list(dict.fromkeys(sid for sid in sids if sid not in trusted))


def _iter_allowed(entries: str) -> Iterator[str]:
    """Yield who is allowed something on the file itself, not only on what is made in it later."""
    for entry in _split_entries(entries):
        parts = entry.split(";")
        if len(parts) < 6:
            continue
        kind, flags, rights, _object, _inherited, sid = parts[:6]
        pairs = [flags[at : at + 2] for at in range(0, len(flags), 2)]
        if kind in _ALLOWING and "IO" not in pairs and rights not in ("", "0x0"):
            yield sid


def _split_entries(text: str) -> Iterator[str]:
    """Yield what is in each pair of brackets at the beginning of ``text``; a condition in it has brackets too."""
    depth = start = 0
    for at, character in enumerate(text):
        if character == "(":
            start = start if depth else at + 1
            depth += 1
        elif character == ")":
            depth -= 1
            if not depth:
                yield text[start:at]
        elif not depth:
            return


def _expand(sid: str, expand: Callable[[str], str]) -> str:
    return sid if sid.startswith("S-") else expand(sid)


def get_account_number(sid: str) -> int:
    """Return the last number of a SID, which tells the accounts of one computer apart."""
    return int(sid.rpartition("-")[2]) if sid else -1
