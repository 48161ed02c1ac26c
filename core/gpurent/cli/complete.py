"""What the shell completes: providers from the plugins, leases and trips from the journal.

Silent about every trouble.
"""

from __future__ import annotations

import os
from pathlib import Path

import click


def provider_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from gpurent.cli.builtin import registry

    return [name for name in sorted(registry().lease) if name.startswith(incomplete)]


def _column(sql: str) -> list[str]:
    import sqlite3

    from platformdirs import user_data_path

    home = Path(os.environ.get("GPURENT_HOME") or user_data_path("gpurent"))
    try:
        database = sqlite3.connect(f"file:{home / 'journal.sqlite'}?mode=ro", uri=True)
        try:
            return [str(row[0]) for row in database.execute(sql)]
        finally:
            database.close()
    except sqlite3.Error:
        return []


def lease_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    found = _column("SELECT id FROM leases ORDER BY changed_at DESC LIMIT 50")
    return [name for name in found if name.startswith(incomplete)]


def trip_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [
        name
        for name in _column("SELECT id FROM trips ORDER BY begun_at DESC LIMIT 50")
        if name.startswith(incomplete)
    ]
