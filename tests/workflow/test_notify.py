"""Who is notified, of what, and that no notifier can harm a trip."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import cast

import pytest
from attrs import define, field

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind, Notice, NoticeLevel
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer, Prepaid, Requirements
from gpurent.domain.trip import JobSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import PluginError, UsageError
from gpurent.infra.registry import builtin_entries
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.roles.entries import InputField, NotifierEntry
from gpurent.roles.hookspecs import hookimpl
from gpurent.roles.messages import Notifier
from gpurent.roles.plugin_context import PluginContext
from gpurent.testing.fakes.http_server import http_server
from tests.workflow.trip_sandbox import DIGITS_EXAMPLE, ScriptedUser, trip_sandbox

HOUR = timedelta(hours=1)


@define
class RecordingNotifier(Notifier):
    """Runs ``action`` and keeps the notices."""

    action: Callable[[Notice], object] = lambda notice: None
    notices: list[Notice] = field(factory=list)

    def notify(self, notice: Notice) -> None:
        self.action(notice)
        self.notices.append(notice)


def build_notifier(notifier: object) -> Callable[[PluginContext], Notifier]:
    """Return a builder that gives ``notifier``, whatever it is."""
    return lambda _context: cast(Notifier, notifier)


async def open_notified_application(
    home: Path, user: ScriptedUser, *notifiers: tuple[str, object], **environment: str
) -> Application:
    """Open an application with the notifiers ``notifiers``."""
    module = ModuleType("ears")

    def gpurent_register_notifier() -> list[NotifierEntry]:
        secret = (InputField(name="key", label="Key", secret=True),)
        return [
            NotifierEntry(name=name, summary="", build=build_notifier(notifier), settings=secret)
            for name, notifier in notifiers
        ]

    vars(module)["gpurent_register_notifier"] = hookimpl(gpurent_register_notifier)
    registry = EntryPointRegistry.load(builtin=[builtin_entries, module], points=[])
    assert not registry.problems
    keys = {f"GPURENT_{name.upper()}_KEY": f"key-CANARY-{name}" for name, _notifier in notifiers}
    made = Application(registry, home / "state", {**keys, **environment}, user)
    await made.start()
    return made


def make_lease(tariff: Metered | Prepaid, expires_at: datetime | None = None) -> Lease:
    hardware = Hardware(gpu="2080 Ti", gpus=1)
    offer = Offer(provider="acme", key="m1", hardware=hardware, tariff=tariff)
    return Lease(id="acme-abcde", provider="acme", offer=offer, state=LeaseState.READY, expires_at=expires_at)


PRICE = UnitPrice(Decimal("1.5"), CNY, HOUR)


def list_warnings(user: ScriptedUser) -> list[str]:
    return [event.text for event in user.events if event.kind is EventKind.WARNING]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


async def test_default_reports_only_important_events(tmp_path: Path) -> None:
    notifier = RecordingNotifier()
    application = await open_notified_application(tmp_path, ScriptedUser(), ("fake", notifier))
    for kind in EventKind:
        application.events.emit(kind, f"about {kind.value}")
    application.events.emit(EventKind.LEASE_CHANGED, "it died", state="gone")
    await application.aclose()
    kinds = [notice.event.kind for notice in notifier.notices]
    assert set(kinds) >= {
        EventKind.JOB_ENDED,
        EventKind.TIME_LOW,
        EventKind.RELEASED,
        EventKind.WARNING,
        EventKind.PAID,
        EventKind.FAILED,
    }
    assert not set(kinds) & {
        EventKind.PROGRESS,
        EventKind.JOB_OUTPUT,
        EventKind.STEP_STARTED,
        EventKind.WAITING,
    }
    assert kinds[-1] is EventKind.LEASE_CHANGED
    assert notifier.notices[-1].level is NoticeLevel.WARNING
    assert len({notice.id for notice in notifier.notices}) == len(notifier.notices)


async def test_user_selects_events(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "config.toml").write_text(
        '[notify]\nevents = ["job-started", "paid"]\nlanguage = "zh"\n'
    )
    notifier = RecordingNotifier()
    application = await open_notified_application(tmp_path, ScriptedUser(), ("fake", notifier))
    for kind in (EventKind.WARNING, EventKind.JOB_STARTED, EventKind.PAID):
        application.events.emit(kind, "x")
    await application.aclose()
    assert [notice.event.kind for notice in notifier.notices] == [EventKind.JOB_STARTED, EventKind.PAID]


async def test_level_selects_events(tmp_path: Path) -> None:
    notifier = RecordingNotifier()
    application = await open_notified_application(
        tmp_path, ScriptedUser(), ("fake", notifier), GPURENT_NOTIFY_LEVEL="warning"
    )
    for kind in (EventKind.PAID, EventKind.TIME_LOW):
        application.events.emit(kind, "x")
    await application.aclose()
    assert [notice.event.kind for notice in notifier.notices] == [EventKind.TIME_LOW]


@pytest.mark.parametrize(
    "wrong",
    [
        ("EVENTS", "job-endet"),
        ("EVENTS", "progress"),
        ("LEVEL", "loud"),
        ("TIMEOUT", "soon"),
        ("TIMEOUT", "0"),
    ],
)
async def test_a_wrong_setting_warns_and_stops_nothing(tmp_path: Path, wrong: tuple[str, str]) -> None:
    user, notifier = ScriptedUser(), RecordingNotifier()
    application = await open_notified_application(
        tmp_path, user, ("fake", notifier), **{f"GPURENT_NOTIFY_{wrong[0]}": wrong[1]}
    )
    application.events.emit(EventKind.PAID, "x")
    application.events.emit(EventKind.PAID, "y")
    with pytest.raises(UsageError, match="notify"):
        await application.notifications.send_test()
    await application.aclose()
    assert [notice.event.text for notice in notifier.notices] == ["x", "y"]
    assert len(list_warnings(user)) == 1


async def test_a_message_says_what_when_and_what_to_do(tmp_path: Path) -> None:
    notifier = RecordingNotifier()
    application = await open_notified_application(tmp_path, ScriptedUser(), ("fake", notifier))
    now = datetime.now(UTC)
    await application.store.save_lease(
        make_lease(Prepaid(price=PRICE, minimum=HOUR), expires_at=now + timedelta(minutes=25, seconds=30))
    )
    application.events.emit(EventKind.TIME_LOW, "25 min left", lease="acme-abcde", minutes=25)
    await asyncio.sleep(0.01)  # a notice describes the lease as it is when it is written
    await application.store.save_lease(make_lease(Metered(price=PRICE)))
    application.events.emit(EventKind.TIME_LOW, "12 min left", lease="acme-abcde", minutes=12)
    await asyncio.sleep(0.01)
    application.events.emit(EventKind.FAILED, "the job is lost", lease="acme-abcde")
    await application.aclose()
    prepaid, metered, failed = (notice.body for notice in notifier.notices)
    assert "acme-abcde at acme: 2080 Ti" in prepaid
    assert str(PRICE) in prepaid
    assert "Time left: 25 min" in prepaid
    assert "gpurent renew acme-abcde" in prepaid
    assert "gpurent topup acme" in metered
    assert "gpurent release acme-abcde" in failed
    assert notifier.notices[0].title == "gpurent: Time is running out (acme-abcde)"


async def test_no_secret_and_no_escape_sequence_leaves(tmp_path: Path) -> None:
    notifier = RecordingNotifier()
    application = await open_notified_application(tmp_path, ScriptedUser(), ("fake", notifier))
    application.events.emit(
        EventKind.WARNING, "\x1b[31mred\x1b[0m key-CANARY-fake \u202eevil", note="key-CANARY-fake\x07"
    )
    await application.aclose()
    (notice,) = notifier.notices
    assert notice.event.text == "red *** evil"
    assert notice.event.data == {"note": "***"}
    assert "CANARY" not in repr(notice)
    assert "\x1b" not in notice.body


async def test_a_warning_that_repeats_is_sent_once(tmp_path: Path) -> None:
    notifier = RecordingNotifier()
    application = await open_notified_application(tmp_path, ScriptedUser(), ("fake", notifier))
    for _time in range(5):
        application.events.emit(EventKind.WARNING, "the provider does not answer", lease="a")
    application.events.emit(EventKind.WARNING, "the provider does not answer", lease="b")
    await application.aclose()
    assert [notice.event.lease for notice in notifier.notices] == ["a", "b"]


def exit_process(notice: Notice) -> None:
    sys.exit(7)


def raise_error(notice: Notice) -> None:
    raise PluginError("refused with key-CANARY-bad \x1b[31m")


def print_and_raise(notice: Notice) -> None:
    print("key-CANARY-bad")
    print("key-CANARY-bad", file=sys.stderr)
    raise RuntimeError("key-CANARY-bad")


@pytest.mark.parametrize("trouble", [exit_process, raise_error, print_and_raise])
async def test_notifier_errors_are_contained_and_reported_once(
    tmp_path: Path, trouble: Callable[[Notice], object], capsys: pytest.CaptureFixture[str]
) -> None:
    user, good, bad = ScriptedUser(), RecordingNotifier(), RecordingNotifier(trouble)
    application = await open_notified_application(tmp_path, user, ("bad", bad), ("good", good))
    for number in range(4):
        application.events.emit(EventKind.PAID, str(number))
    await application.aclose()
    assert [notice.event.text for notice in good.notices] == ["0", "1", "2", "3"]
    (warning,) = list_warnings(user)
    assert "bad" in warning
    assert "CANARY" not in warning
    assert "\x1b" not in warning
    output = capsys.readouterr()
    assert "CANARY" not in output.out + output.err


async def test_it_is_reported_again_after_it_worked(tmp_path: Path) -> None:
    def trouble(notice: Notice) -> None:
        if notice.event.text == "bad":
            raise RuntimeError("away")

    user = ScriptedUser()
    application = await open_notified_application(tmp_path, user, ("fake", RecordingNotifier(trouble)))
    for text in ("bad", "bad", "good", "bad", "bad"):
        application.events.emit(EventKind.PAID, text)
    await application.aclose()
    assert len(list_warnings(user)) == 2


async def test_notifier_that_cannot_be_built_is_only_reported(tmp_path: Path) -> None:
    user = ScriptedUser()
    application = await open_notified_application(tmp_path, user, ("fake", "no notifier"))
    application.events.emit(EventKind.PAID, "x")
    await application.aclose()
    (warning,) = list_warnings(user)
    assert "instead of Notifier" in warning


async def test_hanging_notifier_delays_nothing(tmp_path: Path, gate: threading.Event) -> None:
    user, good = ScriptedUser(), RecordingNotifier()
    application = await open_notified_application(
        tmp_path,
        user,
        ("bad", RecordingNotifier(lambda notice: gate.wait())),
        ("good", good),
        GPURENT_NOTIFY_TIMEOUT="1",
    )
    started = monotonic()
    for number in range(50):
        application.events.emit(EventKind.PAID, str(number))
    await asyncio.wait_for(application.aclose(), 60)
    assert len(application.notifications._queues) == 2
    assert monotonic() - started < 40, "50 notices of one second each would take longer"
    assert len(good.notices) == 50
    warnings = list_warnings(user)
    assert any("no answer within 1 s" in text for text in warnings)
    assert any("50 notifications were not sent" in text for text in warnings)


async def test_test_message_reports_the_real_outcome(tmp_path: Path, gate: threading.Event) -> None:
    good = RecordingNotifier()
    notifiers = (
        ("good", good),
        ("fails", RecordingNotifier(raise_error)),
        ("hangs", RecordingNotifier(lambda notice: gate.wait())),
    )
    application = await open_notified_application(
        tmp_path, ScriptedUser(), *notifiers, GPURENT_NOTIFY_TIMEOUT="0.5"
    )
    outcomes = {outcome.name: outcome for outcome in await application.notifications.send_test()}
    assert outcomes["good"].ok
    assert not outcomes["fails"].ok
    assert "0.5 s" in outcomes["hangs"].reason
    assert [notice.event.kind for notice in good.notices] == [EventKind.TEST]
    (alone,) = await application.notifications.send_test("good")
    assert alone.ok
    with pytest.raises(PluginError):
        await application.notifications.send_test("nobody")
    await application.aclose()


async def test_without_settings_nothing_is_in_use(tmp_path: Path) -> None:
    application = await open_notified_application(
        tmp_path, ScriptedUser(), ("fake", RecordingNotifier()), GPURENT_FAKE_KEY=""
    )
    application.events.emit(EventKind.PAID, "x")
    with pytest.raises(UsageError, match="no notifier") as caught:
        await application.notifications.send_test()
    assert '[fake]\nkey = "…"' in caught.value.hint
    await application.aclose()


async def test_a_whole_trip_is_sent_to_a_webhook(tmp_path: Path) -> None:
    """The kinds that arrive, in order, and none of the trip's secrets."""
    async with http_server() as server, trip_sandbox(tmp_path, speed=120) as sandbox:
        sandbox.extra_environment = {
            "GPURENT_WEBHOOK_URL": f"{server.url}/key-CANARY-1",
            "GPURENT_WEBHOOK_SECRET": "sign-CANARY-2",
            "GPURENT_NOTIFY_EVENTS": "paid job-started job-ended released failed",
        }
        user = ScriptedUser()
        async with sandbox.open_application(user) as application:
            await application.account_commands.log_in("1024gpu", {})
            await sandbox.add_dbc(application, "90000")
            spec = TripSpec(
                requirements=Requirements(gpu="2080Ti"),
                upload=UploadSpec(folder=str(DIGITS_EXAMPLE)),
                job=JobSpec(command=("train.py", "--epochs", "1", "--hidden", "4")),
                limits=TripLimits(term=timedelta(days=1)),
                provider="1024gpu",
            )
            end = await application.trips.run(spec)
            password = application.secrets.get_vault("1024gpu").get(
                (await application.leases.get_lease(end.lease_id)).password_ref
            )
            keys = [
                secret.reveal() for secret in application.account_commands.get_credentials("1024gpu").values()
            ]
    assert not [text for text in list_warnings(user) if "notifier" in text]
    found = [json.loads(request.body) for request in server.requests]
    kinds = [item["kind"] for item in found]
    event_kinds = [event.kind.value for event in user.events]
    assert kinds == [
        kind for kind in event_kinds if kind in sandbox.extra_environment["GPURENT_NOTIFY_EVENTS"].split()
    ]
    assert kinds[-3:] == ["job-started", "job-ended", "released"]
    assert set(kinds[:-3]) == {"paid"}
    assert found[-2]["data"]["exit_code"] == 0
    assert {item["lease"] for item in found[-3:]} == {end.lease_id}
    sent = b"".join(request.body for request in server.requests).decode()
    assert password is not None
    assert keys
    for secret in ("CANARY", password.reveal(), *keys):
        assert secret not in sent
    assert all(request.headers["x-gpurent-signature"].startswith("sha256=") for request in server.requests)
    assert len({request.headers["idempotency-key"] for request in server.requests}) == len(kinds)


async def test_a_trip_s_own_choice_of_events_is_for_that_trip_alone(tmp_path: Path) -> None:
    notifier = RecordingNotifier()
    application = await open_notified_application(tmp_path, ScriptedUser(), ("fake", notifier))
    await application.store.begin_trip("t1-quiet", "run", TripSpec(notify=("failed",)))
    await application.store.begin_trip("t1-silent", "run", TripSpec(notify=()))
    await application.store.begin_trip("t1-usual", "run", TripSpec())
    for trip in ("t1-quiet", "t1-silent", "t1-usual"):
        for kind in (EventKind.JOB_ENDED, EventKind.FAILED, EventKind.WAITING):
            application.events.emit(kind, f"{kind.value} of {trip}", trip=trip)
    await application.aclose()
    assert [(notice.event.trip, notice.event.kind) for notice in notifier.notices] == [
        ("t1-quiet", EventKind.FAILED),
        ("t1-usual", EventKind.JOB_ENDED),
        ("t1-usual", EventKind.FAILED),
    ]
