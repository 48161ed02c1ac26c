"""The project file: every key, every mistake in it, its schema, its page, and what `gpurent init` writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import example, given, settings, strategies as st
from jsonschema import Draft202012Validator

from gpurent.domain.money import CNY
from gpurent.domain.project import FILE, GuardRules, Key, Project, Setup, keys, tables
from gpurent.errors import UsageError
from gpurent.infra.config.project_file import LARGEST, find, line_of, parse, read
from gpurent.infra.config.project_writer import render, write

ROOT = Path(__file__).parents[2]
AT = Path("/somewhere/gpurent.toml")
SCHEMA = json.loads((files("gpurent") / "data" / "gpurent.schema.json").read_text("utf-8"))
FULL = """
command = "python3 train.py --epochs 3"
inputs = ["train.py", "./data/"]
outputs = ["out"]
providers = ["mistgpu", "1024gpu"]
term = "1天"
budget = "¥200"
deadline = "20h"
keep = true
on_error = "keep"

[gpu]
name = "2080 Ti"
count = 2
memory = 11

[setup]
pip = ["numpy", "torch==2.9"]
commands = ["make -C native"]

[guard]
idle = "1h"
after_job = "30m"

[notify]
events = ["job-ended"]
"""
ALL: dict[str, Key] = {
    **keys(),
    **{
        f"{table}.{name}": key
        for table, (_about, kind) in tables().items()
        for name, key in keys(kind).items()
    },
}


def refused(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(text, AT)
    return caught.value


def plain(value: object) -> object:
    """As JSON has it: an editor's schema sees a TOML time as text."""
    return json.loads(json.dumps(value, default=str))


def valid(text: str) -> bool:
    return bool(Draft202012Validator(SCHEMA).is_valid(plain(tomllib.loads(text))))


def test_every_key_is_read() -> None:
    found = parse(FULL, AT)
    assert found.command == ("python3", "train.py", "--epochs", "3")
    assert found.inputs == ("train.py", "data")
    assert found.term == timedelta(days=1)
    assert found.budget == CNY.money("200")
    assert found.deadline == timedelta(hours=20)
    assert (found.gpu.name, found.gpu.count, found.gpu.memory) == ("2080 Ti", 2, 11)
    assert found.setup == Setup(pip=("numpy", "torch==2.9"), commands=("make -C native",))
    assert found.guard == GuardRules(idle=timedelta(hours=1), after_job=timedelta(minutes=30))
    assert found.notify.events == ("job-ended",)
    assert (found.keep, found.on_error, found.folder) == (True, "keep", "/somewhere")
    assert parse("", AT) == Project(folder="/somewhere")


@pytest.mark.parametrize("name", ALL)
def test_the_example_of_each_key_is_taken_and_nothing_of_another_kind(name: str) -> None:
    table, dot, key = name.rpartition(".")
    head = f"[{table}]\n" if dot else ""
    example_text = f"{head}{key} = {ALL[name].example}\n"
    read_back = parse(example_text, AT)
    owner = getattr(read_back, table) if dot else read_back
    assert getattr(owner, key) is not None
    assert valid(example_text)
    for wrong in ("{}", "1.5", "[[1]]", "07:30:00"):
        text = f"{head}{key} = {wrong}\n"
        error = refused(text)
        assert f"line {2 if dot else 1}: {name}: " in error.message
        assert error.hint == f"Write it so: {key} = {ALL[name].example}"
        assert wrong == "07:30:00" or not valid(text)


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        ("\ncomand = 'x'", 2, "no key 'comand'", "Did you mean command?"),
        ("[gpu]\n\ncuont = 1", 3, "[gpu] has no key 'cuont'", "Did you mean count?"),
        ("idle = '1h'", 1, "no key 'idle'", "It belongs into [guard]."),
        ("[gpu]\nbudget = '1CNY'", 2, "no key 'budget'", "It belongs above the first table."),
        ("[stup]\npip = 'x'", 1, "no key 'stup'", "Did you mean setup?"),
        ("zzz = 1", 1, "no key 'zzz'", "There are: command, inputs"),
        ("gpu = { cout = 1 }", 1, "[gpu] has no key 'cout'", "Did you mean count?"),
        ("gpu.count = 0", 1, "gpu.count: a whole number from 1", "count = 1"),
        ("gpu = 3", 1, "a table is expected", "[gpu]"),
        ("budget = '200'", 1, "an amount of money with its currency", 'budget = "200CNY"'),
        ("budget = 200", 1, "an amount of money with its currency", 'budget = "200CNY"'),
        ("term = 86400", 1, "a span of time", 'term = "1d"'),
        ("deadline = 'tomorrow'", 1, "a time or a span of time", 'deadline = "20h"'),
        ("keep = 'yes'", 1, "true or false", "keep = false"),
        ("[gpu]\ncount = true", 2, "a whole number", "count = 1"),
        ("[guard]\nidle_load = 101", 2, "from 0 to 100", "idle_load = 5"),
        ("on_error = 'explode'", 1, "release, keep", "on_error"),
        ("[notify]\nevents = ['job-done']", 2, "job-ended", "events = "),
        ("outputs = ['../secrets']", 1, "../secrets does not lie below the folder", "outputs = "),
        ("outputs = ['/etc']", 1, "/etc does not lie below the folder", "outputs = "),
        ("outputs = ['']", 1, "an empty text", "outputs = "),
        ('command = "python \'x"', 1, "a quotation mark is never closed", "command = "),
        ("command = []", 1, "a shell line or a list of words", "command = "),
        ("[setup]\npip = ['-r x']", 2, "options go into a requirements file", "pip = "),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, line: int, words: str, hint: str) -> None:
    error = refused(text)
    assert f"{AT}, line {line}: " in error.message
    assert words in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    "text",
    ["command = ", "a = 1\na = 2", "term = 2026-13-45", "x = " + "[" * 5000, "x = " + "9" * 9000, "\x00"],
)
def test_what_is_no_toml_is_said(text: str) -> None:
    assert "is not valid TOML" in refused(text).message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with pytest.raises(UsageError, match="cannot be read"):
        read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        read(path)
    path.write_bytes(b"#" * (LARGEST + 1))
    with pytest.raises(UsageError, match="too large"):
        read(path)


def test_times_have_a_zone() -> None:
    for text in ("2026-12-01T18:00:00+08:00", '"2026-12-01T18:00+08:00"'):
        assert parse(f"deadline = {text}", AT).deadline == datetime(2026, 12, 1, 10, tzinfo=UTC)
    local = parse("deadline = 2026-12-01T18:00:00", AT).deadline
    assert local == datetime(2026, 12, 1, 18).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"train.py --lr 1e-3"', ("train.py", "--lr", "1e-3")),
        ('["train.py", "a b"]', ("train.py", "a b")),
        ('"make && ./job > log"', ("make && ./job > log",)),
        ("\"'my job.py' x\"", ("my job.py", "x")),
    ],
)
def test_the_command_is_a_line_or_words(text: str, words: tuple[str, ...]) -> None:
    assert parse(f"command = {text}", AT).command == words


def test_lines_are_found_in_odd_places() -> None:
    text = '# term\n"term" = 1\n[ gpu ]  # x\n  count = 1\n[setup]\npip = ["""\ncount = 2\n"""]\n'
    assert line_of(text, "", "term") == 2
    assert line_of(text, "gpu", "count") == 4
    assert line_of(text, "", "setup") == 5
    assert line_of(text, "notify", "events") == 0


def test_the_nearest_file_up_to_the_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    deep = home / "a" / "b" / "c"
    deep.mkdir(parents=True)
    assert find(deep, home) is None
    (home / FILE).touch()
    assert find(deep, home) is None, "a stray file in the home would send the home away"
    assert find(home, home) == home / FILE
    (home / "a" / FILE).touch()
    assert find(deep, home) == home / "a" / FILE
    (deep / FILE).touch()
    assert find(deep, home) == deep / FILE
    (tmp_path / FILE).touch()
    other = tmp_path / "other"
    other.mkdir()
    assert find(other, home) == tmp_path / FILE


def test_a_stranger_s_file_above_orders_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / FILE).touch()
    assert find(tmp_path / "work", Path("/nowhere")) == tmp_path / FILE
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert find(tmp_path / "work", Path("/nowhere")) is None
    assert find(tmp_path, Path("/nowhere")) == tmp_path / FILE, "who goes there means it"


# the schema, the page, the examples


def test_the_schema_is_the_model() -> None:
    done = subprocess.run([sys.executable, "scripts/schema.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "python scripts/schema.py"
    Draft202012Validator.check_schema(SCHEMA)
    assert valid(FULL)
    assert not valid("comand = 'x'")
    assert not valid("[gpu]\ncuont = 1")
    assert "http" not in json.dumps({key: value for key, value in SCHEMA.items() if key != "$schema"})


def test_the_page_names_every_key_and_no_other() -> None:
    page = (ROOT / "docs" / "project-file.md").read_text("utf-8")
    assert re.findall(r"^\| `([a-z_.]+)` \|", page, re.MULTILINE) == list(ALL)
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert parse(blocks[0], AT).outputs == ("out",)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/gpurent.toml")), ids=str)
def test_the_examples_are_good(path: Path) -> None:
    project = read(path)
    assert valid(path.read_text("utf-8"))
    assert project.command
    assert all((path.parent / name).exists() for name in project.inputs)


# what is written


def test_what_is_written_says_every_key_and_reads_back() -> None:
    said: dict[str, Any] = tomllib.loads(FULL)
    text = render(said)
    assert tomllib.loads(text) == said
    assert parse(text, AT) == parse(FULL, AT)
    assert valid(text)
    for name, key in ALL.items():
        line = next(row for row in text.split("\n") if re.match(rf"(# )?{name.rpartition('.')[2]} = ", row))
        assert len(line) <= 120, line
        assert key.about in text


def test_the_examples_in_an_empty_file_can_be_switched_on() -> None:
    text = render({})
    assert parse(text, AT) == Project(folder="/somewhere")
    parse(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE), AT)


def test_nothing_is_written_over_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / FILE
    write(path, "a", force=False)
    with pytest.raises(UsageError, match="is there already"):
        write(path, "b", force=False)
    assert path.read_text() == "a"
    write(path, "b", force=True)
    assert path.read_text() == "b"


# whatever is in it


_SCALARS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["1d", "20h", "200CNY", "¥5", "train.py", "release", "job-ended", "..", "/", "a; b", "2026-12-01"]
    ),
    st.integers(-3, 2_000_000),
    st.floats(),
    st.booleans(),
    st.datetimes(),
    st.dates(),
    st.times(),
)
_NAMES = st.one_of(
    st.sampled_from([name.rpartition(".")[2] for name in ALL] + list(tables())), st.text(max_size=8)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=4,
)


def _taken(text: str) -> Project | None:
    try:
        return parse(text, AT)
    except UsageError as error:
        if not error.message.startswith(str(AT)):
            raise
        return None


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_NAMES, _VALUES, max_size=4))
def test_random_files_are_read_or_refused(content: dict[str, Any]) -> None:
    try:
        text = tomlkit.dumps(content)
        tomllib.loads(text)
    except (ValueError, TypeError):
        return
    if _taken(text) is not None:
        assert valid(text), text


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(ALL)), _SCALARS | st.lists(_SCALARS, max_size=2))
@example("term", "1d")
def test_random_values_of_known_keys_are_read_or_refused(name: str, value: Any) -> None:
    table, dot, key = name.rpartition(".")
    try:
        text = tomlkit.dumps({table: {key: value}} if dot else {key: value})
        tomllib.loads(text)
    except (ValueError, TypeError):
        return
    if _taken(text) is not None:
        assert valid(text), text


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80) | st.text(alphabet="[]={}\"'.#\n ap1-:TZ", max_size=60))
def test_random_text_is_read_or_refused(text: str) -> None:
    _taken(text)
