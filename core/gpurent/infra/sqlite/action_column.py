"""Schema 5: what a trip of the guard does, which older versions only wrote into its id."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from gpurent.infra.sqlite.standard_words import dump_json

ADD_ACTIONS = """
ALTER TABLE trips ADD COLUMN action TEXT;
UPDATE trips SET action = action_of_trip(json_array(id, lease)) WHERE kind = 'guard';
"""
_ID = re.compile(
    r"guard-(?P<kind>renew|save|topup|budget|deadline|idle|grace)-(?P<subject>.+?)"
    r"(?:-(?P<at>\d{8}t\d{6}))?(?:-\d+)?"
)


def action_of_trip(text: str) -> str | None:
    """Return the action of a guard's trip as JSON; None for an id of another form: such a trip is left alone.

    ``text`` holds the trip's id, ``guard-KIND-SUBJECT[-TIME][-ATTEMPT]``, and its lease.
    """
    trip, lease = json.loads(text)
    found = _ID.fullmatch(trip)
    if found is None:
        return None
    at = found["at"]
    return dump_json(
        {
            "kind": found["kind"],
            "billing": "" if lease else found["subject"],
            "account": "",
            "at": datetime.strptime(at, "%Y%m%dt%H%M%S").replace(tzinfo=UTC).isoformat() if at else None,
        }
    )
