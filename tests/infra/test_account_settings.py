"""Settings of an account: its own section first, then that of its provider, but never another account's login."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gpurent.composition.limit_variables import check_limit_variables
from gpurent.composition.own_commands import make_own_environment
from gpurent.composition.state import read_settings
from gpurent.domain.config_sections import ConfigKey, ConfigSection
from gpurent.domain.provider_names import join_account, list_sections
from gpurent.errors import UsageError
from gpurent.infra.config.config_migration import migrate_config
from gpurent.infra.registry import builtin_entries
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.roles.entries import AuthEntry, LeaseEntry
from gpurent.workflow.runtime.settings import Settings, environment_variable_name
from gpurent.workflow.timing.guard_policy import GuardPolicies
from gpurent.workflow.timing.time_left import TimeWarnings

REGISTRY = EntryPointRegistry.load(builtin=[builtin_entries])
VAST = REGISTRY.get_entry(LeaseEntry, "vast@lab")
LOGIN = REGISTRY.get_entry(AuthEntry, "vast@lab")


def make_settings(environment: Mapping[str, str] = {}, **sections: Mapping[str, str]) -> Settings:
    return Settings(Path(), environment, {name.replace("_at_", "@"): keys for name, keys in sections.items()})


def get_url(settings: Settings) -> str:
    return settings.get_plugin_settings("vast@lab", VAST.settings).get("url", "")


def test_what_an_account_does_not_set_is_as_at_its_provider() -> None:
    base, own = {"url": "https://base"}, {"url": "https://own"}
    assert get_url(make_settings()) == "https://console.vast.ai"
    assert get_url(make_settings(vast=base)) == "https://base"
    assert get_url(make_settings(vast=base, vast_at_lab=own)) == "https://own"
    assert get_url(make_settings(vast=base, vast_at_home=own)) == "https://base"
    variable = {"GPURENT_VAST_URL": "https://variable"}
    assert get_url(make_settings(variable, vast=base)) == "https://variable"
    assert get_url(make_settings(variable, vast=base, vast_at_lab=own)) == "https://own", (
        "the nearest section"
    )
    variable |= {"GPURENT_VAST__LAB_URL": "https://its.variable"}
    assert get_url(make_settings(variable, vast_at_lab=own)) == "https://its.variable"
    assert get_url(make_settings(vast=base, vast_at_lab={"url": ""})) == "", "set, to nothing"
    plain = make_settings({"GPURENT_VAST__LAB_URL": "https://own"}).get_plugin_settings("vast", VAST.settings)
    assert plain["url"] == "https://console.vast.ai"


def test_a_login_never_falls_back() -> None:
    secret = {"api_key": "a key of the first account"}
    for settings in (
        make_settings(vast=secret),
        make_settings({"GPURENT_VAST_API_KEY": "a key of the first account"}),
        make_settings(vast_at_home=secret),
    ):
        assert settings.get_login_fields("vast@lab", LOGIN.fields) == {}
    own = {"GPURENT_VAST__LAB_API_KEY": "its own"}
    assert make_settings(own).get_login_fields("vast@lab", LOGIN.fields) == {"api_key": "its own"}
    assert make_settings(own).get_login_fields("vast", LOGIN.fields) == {}


def test_no_two_names_share_a_variable() -> None:
    names = ["vast", "vast-lab", "vast@lab", "vast@lab-", "vast-@lab", "vast@lab-url", "vast@l-ab"]
    assert len({environment_variable_name(name, "url") for name in names}) == len(names)
    assert environment_variable_name("budget.vast@lab-2", "month") == "GPURENT_BUDGET_VAST__LAB_2_MONTH"


def test_policies_and_warnings_of_an_account() -> None:
    sections: dict[str, Any] = {
        "guard": {"idle": "9h", "idle_load": "1", "save_before": "1m"},
        "guard.vast": {"idle": "8h", "idle_load": "2"},
        "guard.vast@lab": {"idle": "7h"},
        "warn.vast": {"at": "5m"},
    }
    settings = Settings(Path(), {}, sections)
    policy = GuardPolicies(settings).get_policy("vast@lab")
    assert (policy.idle, policy.idle_load) == (timedelta(hours=7), 2)
    assert policy.save_before == timedelta(minutes=1)
    assert GuardPolicies(settings).get_policy("vast").idle == timedelta(hours=8)
    nothing: Any = None
    warnings = TimeWarnings(nothing, settings, nothing)
    assert warnings.get_thresholds("vast@lab") == (timedelta(minutes=5),)
    assert list_sections("warn", "vast") == ["warn.vast"]


def read(folder: Path, text: str) -> Mapping[str, Mapping[str, str]]:
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "config.toml").write_text(text, "utf-8")
    return read_settings(REGISTRY, folder)


def test_the_file_has_sections_of_accounts_before_anybody_logs_in(tmp_path: Path) -> None:
    text = (
        '["vast@lab"]\nurl = "https://own"\napi_key = "secret"\n["dbc@lab"]\nurl = ""\n'
        '[budget."vast@lab"]\nmonth = "5USD"\n[guard."1024gpu@lab"]\nidle = "1h"\n[warn."vast@lab"]\nat = "1h"\n'
    )
    found = read(tmp_path / "data", text)
    assert found["vast@lab"] == {"url": "https://own", "api_key": "secret"}
    assert found["budget.vast@lab"] == {"month": "5USD"}
    assert {name for name, keys in found.items() if keys} == {
        "vast@lab", "budget.vast@lab", "dbc@lab", "guard.1024gpu@lab", "warn.vast@lab",
    }  # fmt: skip
    path = tmp_path / "data" / "config.toml"
    assert path.stat().st_mode & 0o077 == 0, "a password stands in it"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["vast@lab"]\nulr = "https://own"\n', "line 2: unknown key 'ulr' in [vast@lab]"),
        ('["vast@lab"]\nurl = "own"\n', "line 2"),
        ('["vats@lab"]\nurl = "https://own"\n', "no such section: [vats@lab]"),
        ('["imap@lab"]\nhost = "mx"\n', "no such section: [imap@lab]"),
        ('["mail@lab"]\naddress = "a@b"\n', "no such section: [mail@lab]"),
        ('["vast@LAB"]\nurl = "https://own"\n', "no such section: [vast@LAB]"),
        ('[budget."vats@lab"]\nmonth = "5USD"\n', "does not name a provider"),
        ('["vast@lab".part]\nurl = "https://own"\n', "unknown key 'part'"),
    ],
)
def test_what_no_account_has(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "data", text)
    assert said in caught.value.message


def test_a_setting_is_renamed_in_the_sections_of_accounts_too(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[acme]\nold = "1"\n["acme@lab"]\nold = "2"\n["other@lab"]\nold = "3"\n')
    declared = [
        ConfigSection("acme", (ConfigKey("new", '"1"', former_name="old"),), has_accounts=True),
        ConfigSection("other", (ConfigKey("new", '"1"', former_name="old"),)),
    ]
    assert migrate_config(path, declared)
    assert path.read_text() == '[acme]\nnew = "1"\n["acme@lab"]\nnew = "2"\n["other@lab"]\nold = "3"\n'


def test_variables_of_accounts_are_limits_and_are_handed_on_without_secrets() -> None:
    check_limit_variables({"GPURENT_BUDGET_VAST__LAB_MONTH": "5USD"})
    with pytest.raises(UsageError):
        check_limit_variables({"GPURENT_BUDGET_VAST__LAB_MONHT": "5USD"})
    given = {
        "GPURENT_VAST__LAB_URL": "https://own",
        "GPURENT_VAST__LAB_API_KEY": "a secret",
        "GPURENT_MISTGPU__A_PASSWORD": "a secret",
    }
    passed = make_own_environment(REGISTRY, given)
    assert {name for name in passed if "__" in name} == {"GPURENT_VAST__LAB_URL"}


def test_an_empty_part_joins_nothing() -> None:
    assert join_account("", "lab") == ""
    assert join_account("vast", "") == "vast"
