"""Attacks by strangers, and what becomes of each; `docs/security.md` shows them as a table."""
