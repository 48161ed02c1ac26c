"""The registry makes the entries of accounts from those of plugins, and lists those of the known ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.errors import PluginError
from gpurent.infra.registry import builtin_entries
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.roles.entries import AuthEntry, BillingEntry, LauncherEntry, LeaseEntry, SessionEntry
from tests.infra.test_registry import install_distribution, list_problems

REGISTRY = EntryPointRegistry.load(builtin=[builtin_entries])


def test_any_account_of_an_installed_provider_has_entries() -> None:
    entry, base = REGISTRY.get_entry(LeaseEntry, "1024gpu@lab"), REGISTRY.get_entry(LeaseEntry, "1024gpu")
    assert (entry.name, entry.auth, entry.billing) == ("1024gpu@lab", "dbc@lab", "dbc@lab")
    assert (entry.build, entry.profile, entry.claims_offers) == (base.build, base.profile, True)
    assert REGISTRY.get_entry(AuthEntry, entry.auth).fields == REGISTRY.get_entry(AuthEntry, "dbc").fields
    assert REGISTRY.get_entry(BillingEntry, entry.billing).currency == "DBC"
    assert REGISTRY.get_entry(LeaseEntry, "vast@lab").pacing, "each account keeps its own pace"
    REGISTRY.check_entry("lease", "vast@lab-2")
    assert "1024gpu@lab" not in REGISTRY.list_names("lease"), "nobody has logged in to it"


def test_a_provider_without_an_account_gets_none_by_a_label() -> None:
    entry = REGISTRY.get_entry(LeaseEntry, "ssh@lab")
    assert (entry.auth, entry.billing) == ("", "")


@pytest.mark.parametrize("label", ["", "Lab", "-lab", "a--b", "a b", "a@b", "a/b", "x" * 32, "lab\n"])
def test_what_cannot_name_an_account(label: str) -> None:
    assert REGISTRY.find_entry(LeaseEntry, f"vast@{label}") is None
    with pytest.raises(PluginError, match="cannot name an account") as caught:
        REGISTRY.get_entry(LeaseEntry, f"vast@{label}")
    assert "lab-2" in caught.value.hint


def test_an_account_of_an_unknown_provider_is_as_unknown_as_that() -> None:
    with pytest.raises(PluginError, match="no such provider: 'vats'") as caught:
        REGISTRY.get_entry(LeaseEntry, "vats@lab")
    assert "vast" in caught.value.hint


def test_other_kinds_have_no_accounts() -> None:
    assert REGISTRY.find_entry(LauncherEntry, "plain@lab") is None
    with pytest.raises(PluginError, match="no such session backend: 'screen@lab'"):
        REGISTRY.get_entry(SessionEntry, "screen@lab")


def test_known_accounts_are_listed_with_every_provider_of_their_login() -> None:
    known = REGISTRY.with_accounts(["dbc@lab", "vast@lab", "vast@home", "gone@lab"])
    assert [name for name in known.list_names("lease") if "@" in name] == [
        "1024gpu@lab", "vast@home", "vast@lab",
    ]  # fmt: skip
    assert [name for name in known.get_entries(BillingEntry) if "@" in name] == [
        "dbc@lab", "vast@home", "vast@lab",
    ]  # fmt: skip
    assert {"dbc@lab", "vast@lab"} <= set(known.get_entries(AuthEntry))
    assert known.get_entries(LeaseEntry)["vast@lab"].auth == "vast@lab"
    known.set_accounts(["vast@lab"])
    assert [name for name in known.list_names("lease") if "@" in name] == ["vast@lab"]
    assert not any("@" in name for name in REGISTRY.list_names("lease")), "another data folder has its own"
    assert not any("@" in str(entry.name) for entry in known.iter_entries()), "what plugins provide"


@pytest.mark.parametrize("name", ["vast@lab", "two--hyphens"])
def test_no_plugin_provides_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = (
        "from gpurent.api import BillingEntry, hookimpl\n@hookimpl\ndef gpurent_register_billing():\n"
        f"    return [BillingEntry(name={name!r}, summary='', build=None, currency='USD')]\n"
    )
    distribution = "greedy-at" if "@" in name else "greedy-hyphens"
    install_distribution(tmp_path, distribution, source)
    registry = EntryPointRegistry.load()
    (problem,) = list_problems(registry, distribution)
    assert "gpurent_register_billing failed" in problem
    assert name in problem
