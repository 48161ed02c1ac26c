"""Schema 5: typed rows take the place of notes, and of payments that were read from the steps that made them.

Works on the stored JSON and text alone. Older versions did not record whose account it was: it is empty, not known.
"""

from __future__ import annotations

import json
from fractions import Fraction

_CREATE_TABLES = """
CREATE TABLE payments (
    key TEXT PRIMARY KEY, trip TEXT NOT NULL, lease TEXT NOT NULL, provider TEXT NOT NULL, account TEXT NOT NULL,
    purpose TEXT NOT NULL, currency TEXT NOT NULL, exponent INTEGER NOT NULL, amount TEXT NOT NULL,
    authorized_at TEXT NOT NULL, paid TEXT, proof TEXT, paid_at TEXT, fee_currency TEXT, fee_exponent INTEGER,
    fee TEXT, confirmed_at TEXT, payee TEXT NOT NULL DEFAULT '',
    CHECK ((paid IS NULL) = (proof IS NULL) AND (paid IS NULL) = (paid_at IS NULL))
) STRICT;
CREATE INDEX payments_by_trip ON payments (trip);
CREATE INDEX payments_by_lease ON payments (lease);
CREATE TABLE mail_bindings (
    key TEXT PRIMARY KEY, provider TEXT NOT NULL, account TEXT NOT NULL, address TEXT NOT NULL, ended_at TEXT
) STRICT;
CREATE UNIQUE INDEX open_mail_bindings ON mail_bindings (provider, account, address) WHERE ended_at IS NULL;
CREATE TABLE last_balances (
    billing TEXT NOT NULL, account TEXT NOT NULL, currency TEXT NOT NULL, exponent INTEGER NOT NULL,
    amount TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (billing, account)
) STRICT;
CREATE TABLE passed_thresholds (
    lease TEXT NOT NULL, seconds INTEGER NOT NULL, PRIMARY KEY (lease, seconds)
) STRICT;
CREATE TABLE machine_timers (
    lease TEXT PRIMARY KEY, until TEXT NOT NULL, by_policy INTEGER NOT NULL CHECK (by_policy IN (0, 1))
) STRICT;
CREATE TABLE meter_readings (lease TEXT PRIMARY KEY, read_at TEXT NOT NULL) STRICT;
CREATE TABLE result_saves (lease TEXT PRIMARY KEY, began_at TEXT NOT NULL) STRICT;
CREATE TABLE guard_memories (
    lease TEXT PRIMARY KEY, observed_at TEXT, output_at TEXT, idle_since TEXT, ticks_busy INTEGER,
    ticks_total INTEGER, last_write INTEGER
) STRICT;
CREATE TABLE lease_warnings (
    lease TEXT NOT NULL, reason TEXT NOT NULL, warned_at TEXT NOT NULL, PRIMARY KEY (lease, reason)
) STRICT;
CREATE TABLE orphan_search (id INTEGER PRIMARY KEY CHECK (id = 1), searched_at TEXT NOT NULL) STRICT;
CREATE TABLE reported_orphans (
    provider TEXT NOT NULL, account TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, reported_at TEXT NOT NULL,
    PRIMARY KEY (provider, account, kind, name)
) STRICT;
CREATE TABLE plugin_state (
    plugin TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (plugin, name)
) STRICT;
"""

# A bill is in its step, in the binding of an address, and in its lease. It counts if it was paid, or if its amount was
# authorized: then the account may have been asked to pay it.
_MOVE_PAYMENTS = """
INSERT OR IGNORE INTO payments
WITH owners (trip, lease, provider) AS (
    SELECT t.id, t.lease, coalesce(nullif(json_extract(t.spec, '$.provider'), ''), l.provider, '')
    FROM trips t LEFT JOIN leases l ON l.id = t.lease
), bills (trip, lease, provider, bill, begun_at, pay, confirm, place) AS (
    SELECT o.trip, o.lease, o.provider, s.value, s.started_at, replace(s.name, '.bill', '.pay'),
        replace(s.name, '.bill', '.confirm'), s.rowid
    FROM steps s JOIN owners o ON o.trip = s.trip WHERE s.name LIKE '%.bill' AND s.value IS NOT NULL
    UNION ALL
    SELECT o.trip, '', o.provider, json_extract(s.value, '$.bill'), s.started_at, 'bind-mail.pay', 'bind-mail', s.rowid
    FROM steps s JOIN owners o ON o.trip = s.trip
    WHERE s.name = 'bind-mail.request' AND json_extract(s.value, '$.bill') IS NOT NULL
    UNION ALL
    SELECT trip_of_order(json_extract(b.value, '$.key')), l.id, l.provider, b.value, l.changed_at, '', '', NULL
    FROM leases l, json_each(l.value, '$.bills') b
)
SELECT json_extract(b.bill, '$.key'), b.trip, b.lease, b.provider, '',
    coalesce(json_extract(b.bill, '$.purpose'), 'rent'), json_extract(b.bill, '$.amount.currency.code'),
    json_extract(b.bill, '$.amount.currency.exponent'), read_amount(json_extract(b.bill, '$.amount')),
    coalesce(p.started_at, b.begun_at), read_amount(json_extract(p.value, '$.amount')),
    json_extract(p.value, '$.proof'), json_extract(p.value, '$.at'),
    json_extract(p.value, '$.fee.currency.code'), json_extract(p.value, '$.fee.currency.exponent'),
    read_amount(json_extract(p.value, '$.fee')), CASE WHEN p.value IS NOT NULL THEN c.done_at END,
    coalesce(json_extract(b.bill, '$.payee'), '')
FROM bills b
LEFT JOIN steps p ON p.trip = b.trip AND p.name = b.pay
LEFT JOIN steps c ON c.trip = b.trip AND c.name = b.confirm
LEFT JOIN notes n ON n.scope = 'authorized-bills' AND n.name = json_extract(b.bill, '$.key')
WHERE read_amount(json_extract(b.bill, '$.amount')) <> '0'
    AND (p.value IS NOT NULL OR is_same_amount(json_array(n.value, json_extract(b.bill, '$.amount'))))
ORDER BY p.value IS NULL, b.place IS NULL, b.place;
"""

_MOVE_NOTES = """
INSERT INTO mail_bindings
SELECT value, substr(name, 1, instr(name, '/') - 1), '', substr(name, instr(name, '/') + 1), NULL
FROM notes WHERE scope = 'mail-binding' AND value <> '';
INSERT INTO last_balances
SELECT name, '', json_extract(value, '$.code'), json_extract(value, '$.exponent'), read_amount(value),
    json_extract(value, '$.at')
FROM notes WHERE scope = 'last-balance' AND json_valid(value);
INSERT OR IGNORE INTO passed_thresholds
SELECT n.name, CAST(s.value AS INTEGER) FROM notes n, json_each('[' || replace(trim(n.value), ' ', ',') || ']') s
WHERE n.scope = 'passed-thresholds';
INSERT INTO machine_timers
SELECT t.name, t.value, coalesce(p.value, '') <> ''
FROM notes t LEFT JOIN notes p ON p.scope = 'timer-by-policy' AND p.name = t.name
WHERE t.scope = 'timer' AND t.value <> '';
INSERT INTO meter_readings SELECT name, value FROM notes WHERE scope = 'meter-read-at';
INSERT INTO result_saves
SELECT substr(name, length('results-saved/') + 1), value FROM notes
WHERE scope = 'guard' AND name LIKE 'results-saved/%';
INSERT INTO guard_memories
SELECT substr(name, length('memory/') + 1), json_extract(value, '$.at'), json_extract(value, '$.output_at'),
    json_extract(value, '$.idle_since'), json_extract(value, '$.ticks[0]'), json_extract(value, '$.ticks[1]'),
    json_extract(value, '$.last_write')
FROM notes WHERE scope = 'guard' AND name LIKE 'memory/%' AND json_valid(value);
INSERT INTO lease_warnings
SELECT substr(n.name, length('memory/') + 1), w.key, w.value FROM notes n, json_each(n.value, '$.warned_at') w
WHERE n.scope = 'guard' AND n.name LIKE 'memory/%' AND json_valid(n.value);
INSERT INTO orphan_search SELECT 1, value FROM notes WHERE scope = 'orphans' AND name = 'searched-at';
INSERT INTO reported_orphans
SELECT json_extract(split_orphan(name), '$[0]'), '', json_extract(split_orphan(name), '$[1]'),
    json_extract(split_orphan(name), '$[2]'), value
FROM notes WHERE scope = 'orphans' AND name LIKE '%/%/%';
INSERT INTO plugin_state
SELECT scope, name, value FROM notes WHERE scope NOT IN (
    'authorized-bills', 'mail-binding', 'last-balance', 'passed-thresholds', 'timer', 'timer-by-policy',
    'meter-read-at', 'guard', 'orphans'
);
DROP TABLE notes;
"""

USE_TYPED_ROWS = _CREATE_TABLES + _MOVE_PAYMENTS + _MOVE_NOTES


def read_amount(text: str | None) -> str | None:
    """Return the amount of a stored sum of money as text, exactly: it may exceed 64 bits."""
    return str(json.loads(text)["amount"]) if text is not None else None


def is_same_amount(text: str) -> bool:
    """Return whether the text of an authorized amount, like ``1,985.5 DBC``, is that of a bill; ``text`` holds both."""
    authorized, money = json.loads(text)
    digits, _space, code = (authorized or "").rpartition(" ")
    currency = money["currency"]
    try:
        amount = Fraction(digits.replace(",", ""))
    except ValueError:
        return False
    return bool(code == currency["code"] and amount == Fraction(money["amount"], 10 ** currency["exponent"]))


def split_orphan(name: str) -> str:
    """Return provider, kind and name of ``provider/kind/name`` as JSON."""
    return json.dumps(name.split("/", 2))
