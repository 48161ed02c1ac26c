"""The provider of adopted leases: probes the machine itself, and ends it by the means available.

That is the machine's own stop script, else the user on the provider's page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Known, Unknown
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Offer, Order, Payment, Requirements
from gpurent.domain.question import Challenge, Question, QuestionKind
from gpurent.errors import GpurentError, InputRequired, LeaseError, Spent, UnavailableError
from gpurent.locale import _
from gpurent.ports.connection import Connector, Reachability
from gpurent.ports.services import MailReader
from gpurent.ports.system import Clock
from gpurent.roles.lease import LeaseProvider, ManualTask, TaskInstructions
from gpurent.workflow.connection.contact_questions import make_request
from gpurent.workflow.connection.contacts import MachineContacts
from gpurent.workflow.manual.billing import STOPPED_AT, find_stop_time
from gpurent.workflow.manual.instructions import ManualInstructions
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions, find_mailed_answer
from gpurent.workflow.runtime.waiting import Poller

STOP_METHOD, MISSED_PROBES, CONFIRMED_AT = "stop_method", "missed_probes", "confirmed_at"
# A refused connection shows that nothing listens there; no answer may just be a bad network.
_PROBE_WEIGHTS = {
    Reachability.REFUSED: 3,
    Reachability.NO_ANSWER: 1,
    Reachability.OTHER_MACHINE: 6,
    Reachability.UNKNOWN: 0,
}
GONE_SCORE = 6
MAX_SHUTDOWN_TIME = timedelta(minutes=5)
YES_WORDS = ("yes", "y", "是", "好")
STOP_SCRIPT_TIMEOUT = 30.0
MAIL_TIMEOUT = timedelta(minutes=3)
# A machine takes a while to shut down.
SILENCE_TIMEOUT = timedelta(minutes=2)
POLL_INTERVAL = timedelta(seconds=5)
MAIL_CLOCK_SKEW = timedelta(minutes=2)


@frozen
class ManualRelease:
    """Has the user release a machine on the provider's page."""

    instructions: ManualInstructions
    mail: MailReader
    questions: Questions
    poller: Poller
    events: EventEmitter

    async def require_release(self, lease: Lease, probe: Callable[[Lease], Awaitable[Reachability]]) -> None:
        """Return once the user confirms the release and the machine does not answer; else raise `InputRequired`."""
        instructions = self.instructions.get_instructions(lease.provider, ManualTask.RELEASE, lease)
        await self.instructions.show_instructions(lease.provider, instructions, lease=lease.id)
        if self.questions.is_interactive and instructions.code:
            await self._show_mailed_code(lease, instructions)
        # A CODE question is never stored: an early yes must not count the next time.
        question = Question(
            id=f"end:{lease.id}",
            kind=QuestionKind.CODE,
            text=_("Type yes once {lease} is released there").format(lease=lease.id),
        )
        if (await self.questions.ask_question(question) or "").strip().lower() not in YES_WORDS:
            raise _release_required(
                lease, _("you have to release {lease} on the provider's page").format(lease=lease.id)
            )

        async def is_silent() -> bool | None:
            return None if await probe(lease) is Reachability.REACHABLE else True

        if not await self.poller.poll(is_silent, interval=POLL_INTERVAL, timeout=SILENCE_TIMEOUT):
            text = _("{lease} still answers and may still cost money").format(lease=lease.id)
            raise _release_required(lease, text)

    async def _show_mailed_code(self, lease: Lease, instructions: TaskInstructions) -> None:
        """Show the code that the page asks for, from the e-mail for this lease that arrives after the question."""
        if not (self.mail.is_available and lease.ref and instructions.sender):
            return
        challenge = Challenge(
            key=f"{lease.id}-manual-release",
            question="",
            pattern=instructions.code,
            sender=instructions.sender,
            subject=lease.ref,
            since=self.poller.clock.now() - MAIL_CLOCK_SKEW,
        )
        self.events.emit(
            EventKind.WAITING, _("the code will be shown here when its e-mail arrives"), lease=lease.id
        )
        try:
            code = await self.poller.poll(
                lambda: find_mailed_answer(self.mail, challenge), interval=POLL_INTERVAL, timeout=MAIL_TIMEOUT
            )
        except GpurentError as error:
            self.events.emit(EventKind.WARNING, error.message)
            return
        if code is not None:
            self.events.emit(EventKind.MANUAL_TASK, _("The code is {code}").format(code=code), lease=lease.id)


def _release_required(lease: Lease, message: str) -> InputRequired:
    return InputRequired(
        message,
        hint=_("Once it is released there: gpurent release {lease} --confirmed").format(lease=lease.id),
        retryable=True,
        spent=Spent.YES,
        burning=(lease.id,),
    )


def _no_orders_error() -> LeaseError:
    return LeaseError(
        _("adopted machines are not ordered through gpurent"),
        hint=_(
            'Rent on the provider\'s page, then: gpurent adopt --provider PROVIDER "ssh USER@HOST -p PORT"'
        ),
    )


@frozen
class AdoptedLeaseProvider(LeaseProvider):
    """The provider of adopted leases. The entry ``stop`` of ``Lease.shop`` records how a lease is being ended.

    It is ``script`` before the stop script is run and ``ran`` after it, or ``page`` if the user has to release it.
    """

    plugins: Plugins
    clock: Clock
    connector: Connector
    contacts: MachineContacts
    manual_release: ManualRelease

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Unknown(_no_orders_error().message)

    async def reserve_lease(self, order: Order) -> Lease:
        raise _no_orders_error()

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        raise _no_orders_error()

    async def list_leases(self) -> Known[Lease] | Unknown:
        return Unknown(_("machines that are rented manually cannot be listed"))

    async def refresh_lease(self, lease: Lease) -> Lease:
        """Probe the machine only after its declared end: a machine that does not answer is not necessarily gone."""
        now = self.clock.now()
        if lease.state is LeaseState.KEPT and lease.kept_until is not None and lease.kept_until <= now:
            return evolve(
                lease.with_state(LeaseState.GONE, _("its files are no longer kept")), kept_until=None
            )
        if lease.state is not LeaseState.READY or lease.expires_at is None or now < lease.expires_at:
            return lease
        reach = await self._probe_lease(lease)
        if reach in (Reachability.REFUSED, Reachability.OTHER_MACHINE):
            return self._end_lease(
                lease, lease.expires_at, _("its declared end time has passed"), LeaseState.EXPIRED
            )
        if reach is Reachability.REACHABLE:
            text = _(
                "its declared end time has passed, but it still answers and may cost money; see "
                "gpurent declare"
            )
            return evolve(lease, note=text)
        return evolve(lease, note=_("its declared end time has passed; whether it is shut down is unknown"))

    async def release_lease(self, lease: Lease) -> Lease:
        """Take one step towards the end of the lease; the caller saves each before the next."""
        if lease.is_over:
            return lease
        confirmed = lease.provider_data.get(CONFIRMED_AT, "")
        if confirmed:
            return self._end_lease(
                lease, datetime.fromisoformat(confirmed), _("you confirmed that it has ended")
            )
        match lease.provider_data.get(STOP_METHOD, ""):
            case "":
                return self._begin_release(lease)
            case "script":
                return await self._stop_machine(lease)
            case "ran":
                return await self._check_stopped(lease)
        await self.manual_release.require_release(lease, self._probe_lease)
        return self._end_lease(lease, self.clock.now(), _("you confirmed that it has ended"))

    def _begin_release(self, lease: Lease) -> Lease:
        if self.plugins.profile_of(lease).stop_script:
            return _mark_releasing(lease, _("being shut down from inside"), {STOP_METHOD: "script"})
        if lease.declared is not None and not lease.declared.price.value:
            return self._end_lease(lease, self.clock.now(), _("left as it is: it costs nothing"))
        return _mark_releasing(
            lease, _("you have to release it on the provider's page"), {STOP_METHOD: "page"}
        )

    async def _stop_machine(self, lease: Lease) -> Lease:
        why = await self._run_stop_script(lease)
        if why:
            return _switch_to_manual(lease, why)
        facts = {STOP_METHOD: "ran", STOPPED_AT: self.clock.now().isoformat()}
        return _mark_releasing(lease, _("shut down from inside; waiting until it stops answering"), facts)

    async def _run_stop_script(self, lease: Lease) -> str:
        """Run the stop script; return why it may have failed, or an empty string if it ran or the connection broke."""
        if lease.endpoint is None:
            return _("it has no address")
        try:
            connection = await self.contacts.open_connection(lease, make_request(lease, lease.endpoint))
        except GpurentError as error:
            return error.message
        try:
            ran = await connection.run(
                self.plugins.profile_of(lease).stop_script, timeout=STOP_SCRIPT_TIMEOUT
            )
        except UnavailableError:
            # The connection dropped with the machine, or the script is waiting for the shutdown.
            return ""
        finally:
            await connection.close()
        if ran.exit_status == 0:
            return ""
        return _("its stop script failed with exit code {code}").format(code=ran.exit_status)

    async def _check_stopped(self, lease: Lease) -> Lease:
        now = self.clock.now()
        stopped = find_stop_time(lease) or now
        reach = await self._probe_lease(lease)
        if reach is Reachability.REACHABLE:
            if now - stopped >= MAX_SHUTDOWN_TIME:
                return _switch_to_manual(lease, _("its stop script ran, but it still answers"))
            return evolve(lease, provider_data={**lease.provider_data, MISSED_PROBES: "0"})
        missed = int(lease.provider_data.get(MISSED_PROBES, "0")) + _PROBE_WEIGHTS[reach]
        if missed >= GONE_SCORE:
            return self._end_lease(lease, stopped, _("shut down from inside; it no longer answers"))
        return evolve(lease, provider_data={**lease.provider_data, MISSED_PROBES: str(missed)})

    async def _probe_lease(self, lease: Lease) -> Reachability:
        if lease.endpoint is None:
            return Reachability.UNKNOWN
        return await self.connector.probe_endpoint(lease.id, lease.endpoint)

    def _end_lease(
        self, lease: Lease, at: datetime, note: str, state: LeaseState = LeaseState.RELEASED
    ) -> Lease:
        kept = self.plugins.provider_entry(lease.provider).profile.files_kept_for
        moved = lease.with_state(LeaseState.KEPT if kept else state, note)
        return evolve(moved, endpoint=None, ended_at=at, kept_until=at + kept if kept else None)


def _mark_releasing(lease: Lease, note: str, facts: dict[str, str]) -> Lease:
    return evolve(
        lease.with_state(LeaseState.RELEASING, note), provider_data={**lease.provider_data, **facts}
    )


def _switch_to_manual(lease: Lease, why: str) -> Lease:
    facts = {
        name: value for name, value in lease.provider_data.items() if name not in (STOPPED_AT, MISSED_PROBES)
    }
    return evolve(lease, note=why, provider_data={**facts, STOP_METHOD: "page"})
