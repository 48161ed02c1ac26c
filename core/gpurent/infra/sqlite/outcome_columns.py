"""Schema 5: how a trip ended, in two columns instead of one text such as ``failed: sold-out``."""

from __future__ import annotations

# What is not understood is kept as the reason of an unknown outcome.
SPLIT_OUTCOMES = """
ALTER TABLE trips ADD COLUMN outcome_kind TEXT;
ALTER TABLE trips ADD COLUMN outcome_reason TEXT NOT NULL DEFAULT '';
UPDATE trips SET outcome_kind = substr(outcome, 1, instr(outcome || ': ', ': ') - 1),
    outcome_reason = substr(outcome, instr(outcome || ': ', ': ') + 2)
WHERE outcome <> '';
UPDATE trips SET outcome_kind = 'unknown', outcome_reason = outcome
WHERE outcome_kind NOT IN ('done', 'released', 'cancelled', 'arrived', 'over', 'failed', 'stopped', 'unknown');
UPDATE trips
SET outcome_reason = substr(trim(replace(replace(outcome_reason, char(10), ' '), ':', ' ')), 1, 80)
WHERE outcome_reason LIKE '%:%' OR outcome_reason LIKE '%' || char(10) || '%' OR length(outcome_reason) > 80;
ALTER TABLE trips DROP COLUMN outcome;
"""
