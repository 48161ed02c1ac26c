"""The project file: every key, every kind of error, and where it is found."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from gpurent.domain.money import CNY, USD, UnitPrice
from gpurent.domain.offer import Requirements, TrafficPrice
from gpurent.domain.trip import JobSpec, OnError, ResultsSpec, SetupSpec, TripLimits, TripSpec, UploadSpec
from gpurent.domain.trip_fields import FIELDS_BY_NAME, PROJECT_FILE
from gpurent.domain.trip_values import make_trip_spec
from gpurent.errors import UsageError
from gpurent.infra.config.project_file import find_project_file, parse_project_values, read_project_file
from gpurent.infra.config.toml_file import MAX_FILE_BYTES, TomlFile, find_line

ROOT = Path(__file__).parents[2]
FILE_PATH = Path("/somewhere/gpurent.toml")
NOWHERE = Path("/nowhere")
SCHEMA = json.loads((files("gpurent") / "data" / "gpurent.schema.json").read_text("utf-8"))
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FULL_FILE = """
provider = ["mistgpu", "1024gpu"]
gpu = "2080 Ti"
gpus = 2
gpu_memory = 11
cpus = 4
memory = 16
machine = "7"
disk = 100
region = ["SE", "Germany"]
min_reliability = "99.5%"
cuda = "12.4"
max_price = "2.5元/小时"
max_traffic_price = "0.01USD/GB"
spot = true
bid = "$0.25/h"
image = "pytorch-2"
volume = "data"
doctor = "require"
for = "1天"
budget = "¥200"
deadline = "20h"
idle = "1h"
idle_load = 7
timer = "4h"
after_job = "30m"
save_before = "20m"
keep = true
on_error = "keep"
folder = "./sub/"
include = ["train.py", "./data/", "native"]
transfer = "turbo"
staged = false
fresh = true
conda = "environment.yml"
pip = ["numpy", "torch==2.9"]
setup = ["make -C native"]
setup_needs = ["native"]
command = "python3 train.py --epochs 3"
env = ["SEED=1"]
env_file = "job.env"
secret = ["TOKEN", "HF_TOKEN=LAB"]
name = "digits"
session = "tmux"
launcher = "plain"
results = ["out"]
results_dir = "results"
results_every = "10m"
auto_results = "2 GB"
no_results = true
results_grace = "3h"
ready_within = "5m"
recover = 2
checkpoints = ["state/*.pt"]
notify = ["job-ended"]
"""


def parse_values(text: str) -> dict[str, Any]:
    return parse_project_values(TomlFile(FILE_PATH, text), NOW, NOWHERE)


def get_usage_error(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse_values(text)
    return caught.value


def to_plain_json(value: object) -> object:
    """Return the value as JSON has it: an editor's schema sees a TOML time as a string."""
    return json.loads(json.dumps(value, default=str))


def is_valid(text: str) -> bool:
    return bool(Draft202012Validator(SCHEMA).is_valid(to_plain_json(tomllib.loads(text))))


def test_every_key_is_read() -> None:
    assert set(tomllib.loads(FULL_FILE)) == set(FIELDS_BY_NAME)
    assert make_trip_spec(parse_values(FULL_FILE)) == TripSpec(
        requirements=Requirements(
            gpu="2080 Ti",
            gpus=2,
            gpu_memory=11,
            cpus=4,
            memory=16,
            machine="7",
            disk=100,
            image="pytorch-2",
            volume="data",
            regions=("SE", "Germany"),
            min_reliability=Decimal("99.5"),
            cuda="12.4",
            max_price=UnitPrice(Decimal("2.5"), CNY),
            max_traffic_price=TrafficPrice(upload=Decimal("0.01"), download=Decimal("0.01"), currency=USD),
            spot=True,
            bid=UnitPrice(Decimal("0.25"), USD),
        ),
        upload=UploadSpec(
            folder="/somewhere/sub",
            include=("train.py", "data", "native", "environment.yml"),
            transfer="turbo",
            staged=False,
            withheld=("/somewhere/job.env",),
            fresh=True,
        ),
        job=JobSpec(
            command=("python3", "train.py", "--epochs", "3"),
            env=("SEED=1",),
            env_file="/somewhere/job.env",
            secrets=("TOKEN", "HF_TOKEN=LAB"),
            name="digits",
            session="tmux",
            launcher="plain",
            setup=SetupSpec(
                pip=("numpy", "torch==2.9"),
                conda="environment.yml",
                commands=("make -C native",),
                needs=("native", "environment.yml"),
            ),
        ),
        results=ResultsSpec(
            paths=("out",),
            dir="/somewhere/results",
            every=timedelta(minutes=10),
            checkpoints=("state/*.pt",),
            auto_limit=2_000_000_000,
            unwanted=True,
        ),
        limits=TripLimits(
            term=timedelta(days=1),
            budget=CNY.money("200"),
            deadline_in=timedelta(hours=20),
            idle=timedelta(hours=1),
            idle_load=7,
            after_job=timedelta(minutes=30),
            timer=timedelta(hours=4),
            save_before=timedelta(minutes=20),
            keep=True,
            on_error=OnError.KEEP,
            results_grace=timedelta(hours=3),
            ready_within=timedelta(minutes=5),
            recover=2,
        ),
        providers=("mistgpu", "1024gpu"),
        doctor="require",
        notify=("job-ended",),
    )
    assert parse_values("") == {"folder": "/somewhere"}
    assert make_trip_spec(parse_values("")) == TripSpec(upload=UploadSpec(folder="/somewhere"))


@pytest.mark.parametrize("name", FIELDS_BY_NAME)
def test_the_example_of_each_key_is_taken_and_nothing_of_another_kind(name: str) -> None:
    field = FIELDS_BY_NAME[name]
    example_text = f"{name} = {field.example}\n"
    assert parse_values(example_text)[name] is not None
    assert make_trip_spec(parse_values(example_text)) is not None
    assert is_valid(example_text)
    for wrong in ("{}", "1.5", "[[1]]", "07:30:00"):
        text = f"{name} = {wrong}\n"
        error = get_usage_error(text)
        assert f"line 1: {name}: " in error.message
        assert error.hint == f"Write it like this: {name} = {field.example}"
        assert wrong == "07:30:00" or not is_valid(text)


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        ("\ncomand = 'x'", 2, "unknown key 'comand'", "Did you mean command?"),
        ("\n\nresult_dir = 1", 3, "unknown key 'result_dir'", "Did you mean results_dir?"),
        ("[stup]\npip = 'x'", 1, "unknown key 'stup'", "Did you mean setup?"),
        ("zzz = 1", 1, "unknown key 'zzz'", "Available: provider, gpu"),
        ("name = 'x'\n[gpu]\ncount = 1\nname = 'a'", 2, "all keys", "gpu.count → gpus, gpu.name → gpu"),
        ("gpu = { count = 1 }", 1, "all keys are at the top level", "gpu.count → gpus"),
        ("gpu.more = 0", 1, "gpu: expected text", 'gpu = "2080Ti"'),
        ("name = 'x'\nterm = '1d'", 2, "named like the options", "Use the new names: term → for"),
        ("gpu = 3", 1, "gpu: expected text", 'gpu = "2080Ti"'),
        ("gpus = 0", 1, "gpus: expected a whole number from 1", "gpus = 1"),
        ("gpus = true", 1, "a whole number", "gpus = 1"),
        ("budget = '200'", 1, "an amount of money with its currency", 'budget = "200CNY"'),
        ("budget = 200", 1, "an amount of money with its currency", 'budget = "200CNY"'),
        ("for = 86400", 1, "expected a duration", 'for = "1d"'),
        ("deadline = 'tomorrow'", 1, "expected a time or a duration", 'deadline = "20h"'),
        ("keep = 'yes'", 1, "true or false", "keep = false"),
        ("\nidle_load = 101", 2, "from 0 to 100", "idle_load = 5"),
        ("min_reliability = '101%'", 1, "a percentage", "min_reliability = "),
        ("cuda = 'new'", 1, "a version", 'cuda = "12.4"'),
        ("bid = '0USD/h'", 1, "a price", "bid = "),
        ("max_traffic_price = '0.01'", 1, "a price", "max_traffic_price = "),
        ("regoin = ['SE']", 1, "unknown key 'regoin'", "Did you mean region?"),
        ("on_error = 'explode'", 1, "release, keep", "on_error"),
        ("doctor = 'always'", 1, "off, warn, require", 'doctor = "warn"'),
        ("\nnotify = ['job-done']", 2, "job-ended", "notify = "),
        ("results = ['../secrets']", 1, "../secrets is not inside the folder", "results = "),
        ("results = ['/etc']", 1, "/etc is not inside the folder", "results = "),
        ("results = ['']", 1, "must not be empty", "results = "),
        ("results_dir = '../elsewhere'", 1, "../elsewhere is not inside the folder", "results_dir = "),
        ("folder = '/etc'", 1, "/etc is not inside the folder", "folder = "),
        ('command = "python \'x"', 1, "unclosed quotation mark", "command = "),
        ("command = []", 1, "expected a shell command or a list of words", "command = "),
        ("\npip = ['-r x']", 2, "pip options belong in a requirements file", "pip = "),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, line: int, words: str, hint: str) -> None:
    error = get_usage_error(text)
    assert f"{FILE_PATH}, line {line}: " in error.message
    assert words in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    "text",
    ["command = ", "a = 1\na = 2", "for = 2026-13-45", "x = " + "[" * 5000, "x = " + "9" * 9000, "\x00"],
)
def test_invalid_toml_is_reported(text: str) -> None:
    assert "is not valid TOML" in get_usage_error(text).message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / PROJECT_FILE
    with pytest.raises(UsageError, match="cannot be read"):
        read_project_file(path, NOW, NOWHERE)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        read_project_file(path, NOW, NOWHERE)
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(UsageError, match="too large"):
        read_project_file(path, NOW, NOWHERE)


def parse_deadline(text: str) -> TripLimits:
    return make_trip_spec(parse_values(f"deadline = {text}")).limits


def test_times_have_a_zone() -> None:
    for text in ("2026-12-01T18:00:00+08:00", '"2026-12-01T18:00+08:00"'):
        assert parse_deadline(text).deadline_at == datetime(2026, 12, 1, 10, tzinfo=UTC)
    local = parse_deadline("2026-12-01T18:00:00").deadline_at
    assert local == datetime(2026, 12, 1, 18).astimezone(UTC)
    assert parse_deadline('"20h"').deadline_in == timedelta(hours=20)


def test_a_time_of_the_day_is_the_next_one() -> None:
    here = NOW.astimezone()
    for minutes in (-1, 1):
        at = parse_deadline(f'"{here + timedelta(minutes=minutes):%H:%M}"').deadline_at
        assert at is not None
        assert timedelta() < at - NOW <= timedelta(days=1)
        assert at.astimezone(here.tzinfo).strftime("%H:%M") == f"{here + timedelta(minutes=minutes):%H:%M}"


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
    assert parse_values(f"command = {text}")["command"] == words


def test_lines_are_found_in_odd_places() -> None:
    text = '# for\n"for" = 1\n[ guard ]  # x\n  idle = 1\n[rates]\nat = ["""\nidle = 2\n"""]\n'
    assert find_line(text, "", "for") == 2
    assert find_line(text, "guard", "idle") == 4
    assert find_line(text, "", "rates") == 5
    assert find_line(text, "notify", "events") == 0
    text = "a.b = 1\n[[c]]\nd = 1\n[e.f]\ng.h = 1\n"
    assert [find_line(text, "", name) for name in "abcde"] == [1, 0, 2, 0, 4]
    assert find_line(text, "e", "f") == 4
    assert find_line(text, "e.f", "g") == 5
    assert find_line(text, "e.f", "h") == 0


def test_the_nearest_file_up_to_the_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    deep = home / "a" / "b" / "c"
    deep.mkdir(parents=True)
    assert find_project_file(deep, home) is None
    (home / PROJECT_FILE).touch()
    assert find_project_file(deep, home) is None, "a stray file in the home would send the home away"
    assert find_project_file(home, home) == home / PROJECT_FILE
    (home / "a" / PROJECT_FILE).touch()
    assert find_project_file(deep, home) == home / "a" / PROJECT_FILE
    (deep / PROJECT_FILE).touch()
    assert find_project_file(deep, home) == deep / PROJECT_FILE
    (tmp_path / PROJECT_FILE).touch()
    other = tmp_path / "other"
    other.mkdir()
    assert find_project_file(other, home) == tmp_path / PROJECT_FILE


def test_a_stranger_s_file_above_orders_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / PROJECT_FILE).touch()
    assert find_project_file(tmp_path / "work", Path("/nowhere")) == tmp_path / PROJECT_FILE
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert find_project_file(tmp_path / "work", Path("/nowhere")) is None
    assert find_project_file(tmp_path, Path("/nowhere")) == tmp_path / PROJECT_FILE, "who goes there means it"


# the schema, the page, the examples
