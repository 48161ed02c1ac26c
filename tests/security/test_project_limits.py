"""A project file may tighten the user's guard, budget, examination and notifications, and never loosen them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.events import Event, EventKind
from gpurent.domain.field_kinds import FieldGroup, Tighter
from gpurent.domain.health import DoctorPolicy
from gpurent.domain.tightening import choose_tighter
from gpurent.domain.trip import ProjectOrigin, TripLimits, TripSpec
from gpurent.domain.trip_fields import FIELDS_BY_NAME, PROJECT_FILE
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.steps.doctor import DoctorStep
from gpurent.workflow.timing.guard_policy import GUARD_SECTION, GuardPolicies, GuardPolicy
from gpurent.workflow.trips.project_limits import ProjectLimits
from tests.command_line import run_command
from tests.security.attacks import Adversary, Outcome, attack
from tests.workflow.test_notify import RecordingNotifier, open_notified_application
from tests.workflow.trip_sandbox import ScriptedUser

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NOW = datetime(2026, 12, 1, tzinfo=UTC)
OWN = {
    "guard": {
        "idle": "1h",
        "idle_load": "10",
        "timer": "2h",
        "after_job": "30m",
        "save_before": "20m",
        "deadline": "8h",
    }
}
LOOSE = TripLimits(
    idle=9 * HOUR, idle_load=0, timer=99 * HOUR, after_job=9 * HOUR, save_before=MINUTE, deadline_in=99 * HOUR
)
TIGHT = TripLimits(
    idle=MINUTE, idle_load=50, timer=MINUTE, after_job=MINUTE, save_before=HOUR, deadline_in=HOUR
)
GUARD_FIELDS = ("idle", "idle_load", "timer", "after_job", "save_before", "deadline")


def make_settings(sections: Mapping[str, Mapping[str, str]], **environment: str) -> Settings:
    return Settings(Path("/nowhere"), environment, sections)


def make_spec(limits: TripLimits, *fields: str) -> TripSpec:
    origin = ProjectOrigin(path="/repository/gpurent.toml", sha256="0" * 64, fields=fields or GUARD_FIELDS)
    return TripSpec(limits=limits, provider="acme", project=origin)


def get_policy(
    spec: TripSpec, sections: Mapping[str, Mapping[str, str]] = OWN, **environment: str
) -> GuardPolicy:
    return GuardPolicies(make_settings(sections, **environment)).get_policy("acme", spec, lease="acme-1")


def find_ends(policy: GuardPolicy) -> tuple[object, ...]:
    names = ("idle", "idle_load", "timer", "after_job", "save_before")
    return (*(getattr(policy, name) for name in names), policy.resolve_deadline(NOW))


def test_each_field_that_the_settings_have_too_says_what_is_tighter() -> None:
    declared = {key.name for key in GUARD_SECTION.keys} | {"budget", "doctor", "notify"}
    for name, field in FIELDS_BY_NAME.items():
        assert (field.tighter is not None) == (name in declared), name
    groups = {FIELDS_BY_NAME[name].group for name in GUARD_FIELDS}
    assert groups == {FieldGroup.LIMITS}


@pytest.mark.parametrize(
    ("name", "looser", "tighter"),
    [
        ("idle", 2 * HOUR, HOUR),
        ("save_before", MINUTE, HOUR),
        ("doctor", "warn", "require"),
        ("idle_load", 1, 2),
    ],
)
def test_the_tighter_of_two_values_does_not_depend_on_whose_it_is(
    name: str, looser: object, tighter: object
) -> None:
    field = FIELDS_BY_NAME[name]
    for own, given in ((looser, tighter), (tighter, looser), (None, tighter), (tighter, None)):
        assert choose_tighter(field, own, given) == tighter
    assert choose_tighter(field, None, None) is None
    assert FIELDS_BY_NAME["notify"].tighter is Tighter.ADDED
    assert choose_tighter(FIELDS_BY_NAME["notify"], ("a", "b"), ("b", "c")) == ("a", "b", "c")


@attack(
    Adversary.REPOSITORY,
    "a project file sets a guard that is looser than the user's: idle, timer, deadline, …",
    Outcome.KEPT_OUT,
    kind="S1",
)
def test_a_project_file_loosens_no_guard() -> None:
    own = get_policy(TripSpec())
    loose = make_spec(LOOSE)
    assert find_ends(get_policy(loose)) == find_ends(own)
    ignored = ProjectLimits(make_settings(OWN), NOW).compare_limits(loose)
    assert {limit.name for limit in ignored if limit.is_ignored} == set(GUARD_FIELDS)
    tight = make_spec(TIGHT)
    assert find_ends(get_policy(tight)) == (MINUTE, 50, MINUTE, MINUTE, HOUR, NOW + HOUR)
    assert not any(limit.is_ignored for limit in ProjectLimits(make_settings(OWN), NOW).compare_limits(tight))
    # What the user types counts, whatever it is.
    typed = get_policy(evolve(loose, project=None))
    assert find_ends(typed) == (9 * HOUR, 0, 99 * HOUR, 9 * HOUR, MINUTE, NOW + 99 * HOUR)


@attack(
    Adversary.REPOSITORY,
    "its deadline is a date far away, where the user's counts from the start, or the other way round",
    Outcome.KEPT_OUT,
    kind="S1",
)
def test_the_earlier_of_two_deadlines_counts_however_they_are_written() -> None:
    far = make_spec(TripLimits(deadline_at=NOW + 99 * HOUR), "deadline")
    assert get_policy(far).resolve_deadline(NOW) == NOW + 8 * HOUR
    dated = {"guard": {"deadline": (NOW + 8 * HOUR).isoformat()}}
    assert get_policy(make_spec(LOOSE), dated).resolve_deadline(NOW) == NOW + 8 * HOUR
    assert get_policy(make_spec(TIGHT), dated).resolve_deadline(NOW) == NOW + HOUR
    (compared,) = ProjectLimits(make_settings(OWN), NOW).compare_limits(far)
    assert compared.is_ignored
    narrow = OWN | {"guard.acme-1": {"deadline": "50h"}}
    assert get_policy(make_spec(TIGHT), narrow).resolve_deadline(NOW) == NOW + 50 * HOUR, "the lease's own"


def test_the_environment_is_the_user_s_too() -> None:
    assert get_policy(make_spec(LOOSE), {}, GPURENT_GUARD_IDLE="15m").idle == 15 * MINUTE


def test_the_default_is_not_loosened_either() -> None:
    assert get_policy(make_spec(LOOSE), {}).save_before == 15 * MINUTE
    assert get_policy(make_spec(LOOSE), {}).idle == 9 * HOUR, "a new limit where there was none"


@attack(
    Adversary.REPOSITORY,
    "a project file switches off the examination of the machine",
    Outcome.KEPT_OUT,
    kind="S1",
)
def test_a_project_file_loosens_no_examination() -> None:
    step = DoctorStep(doctor=None, plugins=None, settings=make_settings({"doctor": {"policy": "warn"}}))  # type: ignore[arg-type]
    for given, used in (
        ("off", DoctorPolicy.WARN),
        ("warn", DoctorPolicy.WARN),
        ("require", DoctorPolicy.REQUIRE),
    ):
        spec = evolve(make_spec(TripLimits(), "doctor"), doctor=given)
        assert step.get_policy(spec) is used
        assert step.get_policy(evolve(spec, project=None)) is DoctorPolicy(given)


@attack(
    Adversary.REPOSITORY,
    "a project file silences the user's notifications",
    Outcome.KEPT_OUT,
    kind="S1",
)
async def test_a_project_file_silences_no_notification(tmp_path: Path) -> None:
    notifier = RecordingNotifier()
    application = await open_notified_application(tmp_path, ScriptedUser(), ("fake", notifier))
    for trip, names in (("t1-none", ()), ("t1-more", ("waiting",))):
        spec = evolve(make_spec(TripLimits(), "notify"), notify=names)
        await application.store.begin_trip(trip, "run", spec)
        for kind in (EventKind.FAILED, EventKind.WAITING):
            application.events.emit(kind, f"{kind.value} of {trip}", trip=trip)
    await application.aclose()
    found: list[Event] = [notice.event for notice in notifier.notices]
    assert [(event.trip, event.kind) for event in found] == [
        ("t1-none", EventKind.FAILED),
        ("t1-more", EventKind.FAILED),
        ("t1-more", EventKind.WAITING),
    ]


@attack(
    Adversary.REPOSITORY,
    "looser limits of a trusted project file pass unnoticed",
    Outcome.REPORTED,
    kind="S1",
)
def test_what_is_ignored_is_told(tmp_path: Path) -> None:
    folder, state = tmp_path / "repository", tmp_path / "state"
    folder.mkdir()
    state.mkdir(mode=0o700)
    (state / "config.toml").write_text('[guard]\nidle = "1h"\n[guard.mistgpu]\nsave_before = "40m"\n')
    (state / "config.toml").chmod(0o600)
    text = 'provider = ["mistgpu"]\ncommand = ["true"]\nidle = "9h"\nsave_before = "30m"\nnotify = []\n'
    (folder / PROJECT_FILE).write_text(text)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GPURENT_HOME": str(state),
        "LANG": "C.UTF-8",
    }

    def run(*arguments: str) -> str:
        return run_command(*arguments, environment=environment, folder=folder).err

    assert 'idle = "9h"; ignored: looser than your own setting, 1h' in run("-y", "run")
    run("trust", "--sha256", sha256(text.encode()).hexdigest())
    told = run("-y", "run")
    assert "gpurent.toml: idle = 9h is ignored: looser than your own setting, 1h" in told
    assert "gpurent.toml: save_before = 30m is ignored: looser than your own setting, 40m" in told
    typed = run("-y", "run", "--idle", "9h", "--save-before", "30m")
    assert "is ignored" not in typed
