"""Names of providers and of their accounts: ``vast`` is a provider, ``vast@lab`` is the account ``lab`` there.

Core treats an account as a provider of its own. Plugins know only the provider itself, which is called the base here.
"""

from __future__ import annotations

import re

ENTRY_NAME_PATTERN = r"(?!.*--)[a-z0-9][a-z0-9-]{0,30}"
"""What a plugin's entry may be called, and an account's label. No ``--``: see ``environment_variable_name``."""
ACCOUNT_MARK = "@"
QUALIFIED_NAME_PATTERN = f"{ENTRY_NAME_PATTERN}(?:{ACCOUNT_MARK}{ENTRY_NAME_PATTERN})?"
"""The name of an entry, or of an account that was derived from it."""


def is_account_name(name: str) -> bool:
    """Return whether ``name`` is that of an account with a label: ``vast@lab``."""
    return ACCOUNT_MARK in name and re.fullmatch(QUALIFIED_NAME_PATTERN, name) is not None


def get_base_name(name: str) -> str:
    """Return the name that the plugin knows: ``vast`` for ``vast@lab`` and for ``vast``."""
    return name.partition(ACCOUNT_MARK)[0]


def get_account_label(name: str) -> str:
    """Return ``lab`` for ``vast@lab``; empty for a provider's own name."""
    return name.partition(ACCOUNT_MARK)[2]


def join_account(base: str, label: str) -> str:
    """Return the name of the account ``label`` at ``base``; an empty base or label adds nothing."""
    return f"{base}{ACCOUNT_MARK}{label}" if base and label else base


def make_id_prefix(provider: str) -> str:
    """Return the beginning of the ids of leases at a provider or account: they are names of files and SSH hosts."""
    return provider.replace(ACCOUNT_MARK, "-")


def list_sections(name: str, provider: str) -> list[str]:
    """Return the sections ``[name.PROVIDER]`` of config.toml that hold for a provider or account, the nearest first.

    What an account's own section does not set is as in that of its provider.
    """
    return [f"{name}.{one}" for one in dict.fromkeys((provider, get_base_name(provider)))]
