"""`config.toml`: every section, key and value is known, or an error names its line and what was probably meant."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from gpurent.composition.config_sections import declared_sections
from gpurent.domain.config_sections import ConfigKey, ConfigSection
from gpurent.errors import UsageError
from gpurent.infra.config.config_file import Sections, read_config
from gpurent.infra.registry import builtin_entries
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.roles.entries import PluginEntry, RankedEntry
from gpurent.workflow.runtime.settings import Settings, environment_variable_name

ROOT = Path(__file__).parents[2]
REGISTRY = EntryPointRegistry.load(builtin=[builtin_entries])
DECLARED_SECTIONS = {section.name: section for section in declared_sections(REGISTRY)}
CORE_SECTIONS = ("core", "mail", "doctor", "offers", "budget", "warn", "notify", "rates", "guard")
KNOWN_NAMES = {"provider": ["mistgpu", "1024gpu"], "lease": ["mistgpu-1"], "trip": ["t-1"]}
CONFIG_KEYS = [(section.name, key) for section in DECLARED_SECTIONS.values() for key in section.keys]


def get_names(kind: str) -> Sequence[str]:
    return KNOWN_NAMES[kind]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def read_sections(path: Path, text: str, named: Callable[[str], Sequence[str]] = get_names) -> Sections:
    path.write_text(text, "utf-8")
    return read_config(path, lambda: list(DECLARED_SECTIONS.values()), named)


def get_usage_error(path: Path, text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read_sections(path, text)
    return caught.value


def misspell(name: str) -> str:
    """Double the last letter: close enough for a suggestion."""
    return name + name[-1]


def make_example(section: str, key: ConfigKey) -> str:
    """Return a file with the key's example, or the first of several."""
    value = (key.example.partition(" = ")[2] or key.example).partition("; ")[0]
    return f"[{section}]\n{key.name} = {value}\n"


def test_the_sections_are_core_s_own_and_those_of_the_plugins() -> None:
    assert not REGISTRY.problems
    assert set(CORE_SECTIONS) < set(DECLARED_SECTIONS)
    kinds: list[type[Any]] = [*PluginEntry.__subclasses__(), *RankedEntry.__subclasses__()]
    entries = chain.from_iterable(
        REGISTRY.get_entries(kind).values() for kind in kinds if kind is not RankedEntry
    )
    plugins = {entry.name for entry in entries if entry.settings}
    assert {"mistgpu", "dbc-chain", "turbo", "imap", "ecb"} < plugins
    assert plugins == set(DECLARED_SECTIONS) - set(CORE_SECTIONS)


def test_a_missing_file_is_empty_and_asks_for_no_plugin(path: Path) -> None:
    def never() -> Sequence[ConfigSection]:
        raise AssertionError

    assert read_config(path, never, get_names) == {}


def test_sections_named_parts_numbers_dates_and_flags(path: Path) -> None:
    text = (
        '[rates]\n"USD/CNY" = 7.10\ndate = 2026-11-24\nmax_age_days = 30\n[budget]\nmonth = "1CNY"\n'
        '[budget.mistgpu]\nmonth = "3CNY"\n[core]\nbrowser = false\n[notify]\nevents = ["failed", "paid"]\n'
        '[guard.mistgpu-1]\nidle = "30m"\n[guard.t-1]\nidle = "off"\n[imap]\nport = 993\n'
    )
    assert read_sections(path, text) == {
        "rates": {"USD/CNY": "7.10", "date": "2026-11-24", "max_age_days": "30"},
        "budget": {"month": "1CNY"},
        "budget.mistgpu": {"month": "3CNY"},
        "core": {"browser": "no"},
        "notify": {"events": "failed paid"},
        "guard": {},
        "guard.mistgpu-1": {"idle": "30m"},
        "guard.t-1": {"idle": "off"},
        "imap": {"port": "993"},
    }


@pytest.mark.parametrize(
    ("section", "key"), CONFIG_KEYS, ids=[f"{name}.{key.name}" for name, key in CONFIG_KEYS]
)
def test_each_key_is_taken_by_its_name_alone(path: Path, section: str, key: ConfigKey) -> None:
    text = make_example(section, key)
    value = tomllib.loads(text)[section][key.name]
    assert read_sections(path, text) == {
        section: {key.name: " ".join(value) if isinstance(value, list) else str(value)}
    }
    wrong = misspell(key.name)
    error = get_usage_error(path, f"# mine\n\n[{section}]\n{wrong} = 1\n")
    assert error.message == f"{path}, line 4: unknown key '{wrong}' in [{section}]"
    assert error.hint == f"Did you mean {key.name}?"


@pytest.mark.parametrize("name", DECLARED_SECTIONS)
def test_each_section_is_taken_by_its_name_alone(path: Path, name: str) -> None:
    assert read_sections(path, f"[{name}]\n") == {name: {}}
    error = get_usage_error(path, f"\n[{misspell(name)}]\nmonth = 1\n")
    assert error.message == f"{path}, line 2: no such section: [{misspell(name)}]"
    assert error.hint == f"Did you mean {name}?"
    assert f"Available: {', '.join(sorted(DECLARED_SECTIONS))}" in get_usage_error(path, "[zzzzz]\n").hint


@pytest.mark.parametrize("name", DECLARED_SECTIONS)
def test_a_part_of_a_section_names_something_that_is_there(path: Path, name: str) -> None:
    section = DECLARED_SECTIONS[name]
    known = list(chain.from_iterable(KNOWN_NAMES[kind] for kind in section.part_kinds))
    for part in known:
        assert read_sections(path, f"[{name}.{part}]\n") == {name: {}, f"{name}.{part}": {}}
        wrong = section.keys[0].name
        error = get_usage_error(path, f"[{name}]\n[{name}.{part}]\n{misspell(wrong)} = 1\n")
        assert error.message == f"{path}, line 3: unknown key '{misspell(wrong)}' in [{name}.{part}]"
        assert error.hint == f"Did you mean {wrong}?"
    error = get_usage_error(path, f"\n[{name}.mistgqu]\n")
    if known:
        kinds = "/".join(section.part_kinds)
        assert error.message == f"{path}, line 2: [{name}.mistgqu] does not name a {kinds}"
        assert error.hint == "Did you mean mistgpu?"
    else:
        assert error.message == f"{path}, line 2: unknown key 'mistgqu' in [{name}]"


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        ("month = '1CNY'", 1, "'month' must be in a section", "[budget]\nmonth = …"),
        ("guard = 3", 1, "'guard' must be in a section", "[guard]"),
        ("[[core]]\nbrowser = 'no'", 1, "'core' must be in a section", "[core]"),
        ("guard.idl = '1h'", 1, "unknown key 'idl' in [guard]", "Did you mean idle?"),
        ("gard.idle = '1h'", 1, "no such section: [gard]", "Did you mean guard?"),
        ("guard = { idl = '1h' }", 1, "unknown key 'idl' in [guard]", "Did you mean idle?"),
        (
            "[core]\nbrowser = 'perhaps'",
            2,
            "core.browser: expected one of: yes, no",
            'browser = "no"',
        ),
        ("[doctor]\npolicy = 'always'", 2, "doctor.policy: expected one of: off", 'policy = "warn"'),
        ("[offers]\ntimeout = -1", 2, "offers.timeout: invalid value: '-1'", "timeout = 30"),
        ("[offers]\ntimeout = '1e999'", 2, "offers.timeout: invalid value: '1e999'", "timeout = 30"),
        ("[budget]\nmonth = 3", 2, "budget.month: invalid value: '3'", 'month = "500CNY"'),
        ("[budget.mistgpu]\nmonth = 3", 2, "budget.mistgpu.month: invalid value: '3'", 'month = "500CNY"'),
        ("[warn]\nat = 'soon'", 2, "warn.at: invalid value: 'soon'", 'at = "60m, 15m, 5m"'),
        ("[notify]\nlevel = 'loud'", 2, "notify.level: expected one of: detail", 'level = "notice"'),
        ("[notify]\nevents = ['job-done']", 2, "notify.events: ", 'events = ["job-ended", "failed"]'),
        ("[notify]\nevents = [1]", 2, "text, a list of texts, a number, a date, or true", "events = "),
        ("[rates]\ndate = 'today'", 2, "rates.date: ", "date = 2026-11-24"),
        ("[rates]\nmax_age_days = 0", 2, "rates.max_age_days: ", "max_age_days = 45"),
        ("[rates]\n'USD/CNY' = 'seven'", 2, "rates.USD/CNY: invalid value: 'seven'", '"USD/CNY" = 7.10'),
        (
            "[rates]\n'usd/cny' = 7",
            2,
            "unknown key 'usd/cny' in [rates]",
            "Available: date, source, max_age_days",
        ),
        ("[guard]\nidle = 'long'", 2, "guard.idle: invalid value: 'long'", "idle = "),
        ("[guard.t-1]\ntop_up = '5'", 2, "guard.t-1.top_up: invalid value: '5'", 'top_up = "50CNY"'),
        ("[imap]\nport = [1]", 2, "imap.port: expected text, a list of texts", "port = "),
        ("[guard.t-1.x]\nidle = '1h'", 1, "unknown key 'x' in [guard.t-1]", "Available: after_job"),
    ],
)
def test_a_mistake_is_named_with_its_line(path: Path, text: str, line: int, words: str, hint: str) -> None:
    error = get_usage_error(path, text)
    assert error.message.startswith(f"{path}, line {line}: "), error.message
    assert words in error.message
    assert hint in error.hint


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_only_a_plain_file_is_read(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="is not a regular file"):
        read_config(path, lambda: (), get_names)


def test_a_secret_of_a_wrong_kind_is_not_repeated(path: Path) -> None:
    error = get_usage_error(path, "[mistgpu]\npassword = [31337, 'hunter2-correct']\n")
    assert "mistgpu.password: " in error.message
    assert not re.search("31337|hunter2", f"{error.message}{error.hint}{error.detail}")


@pytest.mark.parametrize("page", ["settings", "guard", "ledger", "manual-rental"])
def test_what_the_pages_show_is_taken(path: Path, page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    blocks = [block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "\n[" in f"\n{block}"]
    assert blocks or page not in ("settings", "guard")
    leases = re.findall(r"^\[guard\.([\w-]+)\]", text, re.MULTILINE)

    def named(kind: str) -> Sequence[str]:
        return leases if kind == "lease" else get_names(kind)

    for block in blocks:
        assert read_sections(path, block, named)


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("imap", "port", '"many"', "invalid value"),
        ("imap", "port", "70000", "1 - 65535"),
        ("imap", "tls", '"perhaps"', "yes, no"),
        ("mistgpu", "mode", '"robot"', "auto, api, manual"),
        ("mistgpu", "url", '"mistgpu.com"', "invalid value"),
        ("dbc-chain", "max_total_spending", '"much"', "invalid value"),
        ("turbo", "max_connections", '"eight"', "invalid value"),
    ],
)
def test_values_of_plugins_are_checked_as_core_s_are(
    path: Path, section: str, key: str, value: str, said: str
) -> None:
    error = get_usage_error(path, f"[{section}]\n{key} = {value}\n")
    assert "line 2" in error.message
    assert said in error.message
    settings = Settings(Path(), {environment_variable_name(section, key): value.strip('"')}, {})
    entry = next(
        entry
        for entry in REGISTRY.iter_entries()
        if isinstance(entry, PluginEntry) and entry.name == section and entry.settings
    )
    with pytest.raises(UsageError, match=re.escape(said)):
        settings.get_plugin_settings(section, entry.settings)


def test_an_empty_setting_is_one_that_is_not_set(path: Path) -> None:
    assert read_sections(path, '[dbc]\nurl = ""\n') == {"dbc": {"url": ""}}
