"""Every message has a Chinese translation with the same placeholders; the compiled catalogues match the source."""

from __future__ import annotations

import gettext
import re
import subprocess
import sys
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from gpurent.locale import make_translator, set_language

ROOT = Path(__file__).parents[2]
CATALOGUES = sorted(
    path
    for base in (ROOT / "core", ROOT / "plugins")
    for path in base.rglob("locale/zh_CN/LC_MESSAGES/*.po")
    if ".venv" not in path.parts
)


def read_catalogue(path: Path) -> dict[str, str]:
    """Return the compiled messages; those with a plural by their singular."""
    with path.with_suffix(".mo").open("rb") as file:
        found = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    # Chinese has one form for every count: the plural forms are keyed by (singular, 0).
    return {key[0] if isinstance(key, tuple) else key: value for key, value in found.items() if key}


def find_placeholders(text: str) -> set[str]:
    return {f"{name}:{spec}" for _text, name, spec, _how in Formatter().parse(text) if name is not None}


def test_nothing_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/messages.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", CATALOGUES, ids=[path.stem for path in CATALOGUES])
def test_placeholders_agree(path: Path) -> None:
    with path.open("rb") as file:
        messages = [message for message in read_po(file, locale="zh_CN") if message.id]
    for message in messages:
        english = [message.id] if isinstance(message.id, str) else message.id
        _english, chinese = first_forms(message)
        assert find_placeholders(chinese) in map(find_placeholders, english), message.id


@pytest.mark.parametrize("path", CATALOGUES, ids=[path.stem for path in CATALOGUES])
def test_compiled_catalogue_matches_its_source(path: Path) -> None:
    with path.open("rb") as file:
        written = dict(first_forms(message) for message in read_po(file, locale="zh_CN") if message.id)
    assert written == read_catalogue(path)


def first_forms(message: Message) -> tuple[str, str]:
    """Return a message and its translation; of a plural, the first forms."""
    english, chinese = message.id, message.string
    assert english
    assert chinese
    return (
        english if isinstance(english, str) else english[0],
        chinese if isinstance(chinese, str) else chinese[0],
    )


def test_each_package_uses_its_own_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from babel.messages.catalog import Catalog
    from babel.messages.mofile import write_mo

    folder = tmp_path / "gpurent_plugin_polite" / "locale" / "zh_CN" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (tmp_path / "gpurent_plugin_polite" / "__init__.py").touch()
    catalog = Catalog(locale="zh_CN")
    catalog.add("hello {name}", "你好 {name}")
    with (folder / "gpurent_plugin_polite.mo").open("wb") as file:
        write_mo(file, catalog)
    monkeypatch.syspath_prepend(tmp_path)
    translate = make_translator("gpurent_plugin_polite")
    assert translate("hello {name}") == "hello {name}"
    set_language("zh")
    try:
        assert translate("hello {name}") == "你好 {name}"
        assert translate("never translated") == "never translated"
        assert make_translator("gpurent_plugin_absent")("hello") == "hello"
    finally:
        set_language("en")


_COUNTED = re.compile(r"\{(?:count|files|minutes|hours|days|seconds)[^}]*\} (?:more |new |other )?[a-z]+s\b")
# Always many: the passphrase has twelve characters at least, and a chain stalls for minutes.
_ALWAYS_MANY = ("passphrase", "finalized no block")


@pytest.mark.parametrize("path", CATALOGUES, ids=[path.stem for path in CATALOGUES])
def test_what_is_counted_has_a_singular(path: Path) -> None:
    with path.open("rb") as file:
        singular = [m.id for m in read_po(file, locale="zh_CN") if m.id and isinstance(m.id, str)]
    wrong = [text for text in singular if _COUNTED.search(text) and not any(x in text for x in _ALWAYS_MANY)]
    assert not wrong
