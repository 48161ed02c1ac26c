"""Schema 5: orders that older versions kept only within their lease. Works on the stored JSON alone."""

from __future__ import annotations

import json

from gpurent.infra.sqlite.standard_words import dump_json

ADD_ORDERS = """
CREATE TABLE orders (
    key TEXT PRIMARY KEY, lease TEXT NOT NULL, trip TEXT NOT NULL, provider TEXT NOT NULL, account TEXT NOT NULL,
    kind TEXT NOT NULL, claim TEXT NOT NULL, opened_at TEXT NOT NULL, ended_at TEXT, outcome TEXT
) STRICT;
CREATE UNIQUE INDEX open_orders_by_lease ON orders (lease) WHERE outcome IS NULL;
CREATE UNIQUE INDEX open_orders_by_claim ON orders (provider, account, claim) WHERE outcome IS NULL AND claim <> '';
UPDATE leases SET value = add_order_facts(json_array(value, changed_at));
INSERT INTO orders
SELECT json_extract(value, '$.pending.key'), id, trip_of_order(json_extract(value, '$.pending.key')), provider, '',
    json_extract(value, '$.pending.kind'), '', changed_at, NULL, NULL
FROM leases WHERE json_extract(value, '$.pending.key') IS NOT NULL;
"""


def trip_of_order(key: str) -> str:
    """Return the trip that placed an order: keys were made from it and a last word."""
    return key.rpartition("-")[0]


def add_order_facts(text: str) -> str:
    """Return a lease with its completed orders; ``text`` holds the lease and when it was saved.

    Older versions did not record whether a request for a pending order was sent, so it counts as sent.
    """
    value, changed_at = json.loads(text)
    lease = json.loads(value)
    pending = lease.get("pending")
    unfinished = pending["key"] if pending else ""
    keys = [
        lease.get("label", "") if lease.get("ref") else "",
        *(bill["key"] for bill in lease.get("bills", ())),
    ]
    lease["completed_orders"] = [key for key in dict.fromkeys(keys) if key and key != unfinished]
    if pending:
        pending["sent_at"] = changed_at
    return dump_json(lease)
