"""The provider of a lease that was adopted: looks at the machine itself, and ends it by what there is.

That is the machine's own stop script, else the user on the provider's page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Known, Offer, Order, Payment, Requirements, Unknown
from gpurent.domain.question import Challenge, Question, QuestionKind
from gpurent.errors import GpurentError, InputRequired, LeaseError, Spent, UnavailableError
from gpurent.locale import _
from gpurent.ports.connection import Connector, Reachability
from gpurent.ports.services import MailReader, SecretStore
from gpurent.ports.system import Clock
from gpurent.roles.lease import Instructions, LeaseProvider, ManualTask
from gpurent.workflow.manual.billing import STOPPED, stopped_at
from gpurent.workflow.manual.instructions import InstructionsSender
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions, find_answer
from gpurent.workflow.runtime.waiting import Poller

HOW, MISSED, CONFIRMED = "stop", "missed", "confirmed-at"
# A refused probe is the host's own word that nothing listens; silence may be a bad network.
_WEIGHT = {Reachability.REFUSED: 3, Reachability.SILENT: 1, Reachability.OTHER: 6, Reachability.UNKNOWN: 0}
GONE = 6
LINGER = timedelta(minutes=5)
YES = ("yes", "y", "是", "好")
TIMEOUT = 30.0
MAIL = timedelta(minutes=3)
# A machine takes a little while to go down.
PATIENCE = timedelta(minutes=2)
LOOK = timedelta(seconds=5)
SLACK = timedelta(minutes=2)


@frozen
class EndByUser:
    """Has the user end a machine on the provider's page."""

    instructions: InstructionsSender
    mail: MailReader
    questions: Questions
    poller: Poller
    events: EventEmitter

    async def require_end(self, lease: Lease, probe: Callable[[Lease], Awaitable[Reachability]]) -> None:
        """Returns once the user says that it has ended and it does not answer; `InputRequired` until then."""
        instructions = self.instructions.instructions_for(lease.provider, ManualTask.RELEASE, lease)
        await self.instructions.send(lease.provider, instructions, lease=lease.id)
        if self.questions.interactive and instructions.code:
            await self._show_code(lease, instructions)
        # Not a question that is remembered: an early yes must not answer for the next time.
        question = Question(
            id=f"end:{lease.id}",
            kind=QuestionKind.CODE,
            text=_("Type yes once {lease} has ended there").format(lease=lease.id),
        )
        if (await self.questions.ask(question) or "").strip().lower() not in YES:
            raise _needed(lease, _("{lease} must be ended by you").format(lease=lease.id))

        async def is_silent() -> bool | None:
            return None if await probe(lease) is Reachability.ANSWERS else True

        if not await self.poller.poll(is_silent, every=LOOK, patience=PATIENCE):
            text = _("{lease} still answers, so it may still cost money").format(lease=lease.id)
            raise _needed(lease, text)

    async def _show_code(self, lease: Lease, instructions: Instructions) -> None:
        """Wait for the mail with the code that the page asks for: this lease's own, and newer than the question."""
        if not (self.mail.available and lease.ref and instructions.sender):
            return
        challenge = Challenge(
            key=f"{lease.id}-by-hand",
            question="",
            pattern=instructions.code,
            sender=instructions.sender,
            subject=lease.ref,
            since=self.poller.clock.now() - SLACK,
        )
        self.events.emit(EventKind.WAITING, _("the code is shown here when its mail comes"), lease=lease.id)
        try:
            code = await self.poller.poll(
                lambda: find_answer(self.mail, challenge), every=LOOK, patience=MAIL
            )
        except GpurentError as error:
            self.events.emit(EventKind.WARNING, error.message)
            return
        if code is not None:
            self.events.emit(EventKind.BY_HAND, _("The code is {code}").format(code=code), lease=lease.id)


def _needed(lease: Lease, message: str) -> InputRequired:
    return InputRequired(
        message,
        hint=_("When it has ended: gpurent release {lease} --confirmed").format(lease=lease.id),
        retryable=True,
        spent=Spent.YES,
        burning=(lease.id,),
    )


def _no_orders() -> LeaseError:
    return LeaseError(
        _("a machine that was taken over by hand is not ordered here"),
        hint=_("Rent where you usually do, then: gpurent adopt"),
    )


@frozen
class AdoptedLeaseProvider(LeaseProvider):
    """``Lease.shop`` holds how it is being ended: by its ``script``, ``ran``, by the user on the ``page``."""

    plugins: Plugins
    clock: Clock
    connector: Connector
    secrets: SecretStore
    user: EndByUser

    async def offers(self, wish: Requirements) -> Known[Offer] | Unknown:
        return Unknown(_no_orders().message)

    async def reserve(self, order: Order) -> Lease:
        raise _no_orders()

    async def confirm(self, lease: Lease, payment: Payment) -> Lease:
        raise _no_orders()

    async def leases(self) -> Known[Lease] | Unknown:
        return Unknown(_("there is no list of machines that are rented by hand"))

    async def refresh(self, lease: Lease) -> Lease:
        """Probes only where its terms say that it should be over: a machine that is silent is not thereby gone."""
        now = self.clock.now()
        if lease.state is LeaseState.KEPT and lease.kept_until is not None and lease.kept_until <= now:
            return evolve(lease.to(LeaseState.GONE, _("its files were kept until now")), kept_until=None)
        if lease.state is not LeaseState.READY or lease.expires_at is None or now < lease.expires_at:
            return lease
        reach = await self._probe(lease)
        if reach in (Reachability.REFUSED, Reachability.OTHER):
            return self._ended(lease, lease.expires_at, _("its declared end has come"), LeaseState.EXPIRED)
        if reach is Reachability.ANSWERS:
            text = _("its declared end is over, and it still answers: it may cost money; gpurent declare")
            return evolve(lease, note=text)
        return evolve(lease, note=_("its declared end is over; whether it is shut is not known"))

    async def release(self, lease: Lease) -> Lease:
        """One move at a time; each is saved before the next."""
        if lease.over:
            return lease
        confirmed = lease.shop.get(CONFIRMED, "")
        if confirmed:
            return self._ended(lease, datetime.fromisoformat(confirmed), _("ended by your word"))
        match lease.shop.get(HOW, ""):
            case "":
                return self._begin(lease)
            case "script":
                return await self._stop(lease)
            case "ran":
                return await self._watch(lease)
        await self.user.require_end(lease, self._probe)
        return self._ended(lease, self.clock.now(), _("ended by your word"))

    def _begin(self, lease: Lease) -> Lease:
        if self.plugins.profile_of(lease).stop_script:
            return _releasing(lease, _("being stopped from within"), {HOW: "script"})
        if lease.declared is not None and not lease.declared.price.value:
            return self._ended(lease, self.clock.now(), _("left as it is: it costs nothing"))
        return _releasing(lease, _("to be ended by you"), {HOW: "page"})

    async def _stop(self, lease: Lease) -> Lease:
        why = await self._run_stop_script(lease)
        if why:
            return _to_page(lease, why)
        facts = {HOW: "ran", STOPPED: self.clock.now().isoformat()}
        return _releasing(lease, _("stopped; waiting for its end"), facts)

    async def _run_stop_script(self, lease: Lease) -> str:
        """Why it may not have worked; empty: it ran, or the connection ended with it."""
        if lease.endpoint is None:
            return _("it has no address")
        password = self.secrets.scoped(lease.provider).get(lease.password_ref)
        try:
            connection = await self.connector.open(lease.id, lease.endpoint, password)
        except GpurentError as error:
            return error.message
        try:
            ran = await connection.run(self.plugins.profile_of(lease).stop_script, timeout=TIMEOUT)
        except UnavailableError:
            # Dropped as the machine went down, or the script waits for the end that it asked for.
            return ""
        finally:
            await connection.aclose()
        if ran.status == 0:
            return ""
        return _("its stop script failed with exit code {code}").format(code=ran.status)

    async def _watch(self, lease: Lease) -> Lease:
        now = self.clock.now()
        stopped = stopped_at(lease) or now
        reach = await self._probe(lease)
        if reach is Reachability.ANSWERS:
            if now - stopped >= LINGER:
                return _to_page(lease, _("its stop script ran, but it still answers"))
            return evolve(lease, shop={**lease.shop, MISSED: "0"})
        missed = int(lease.shop.get(MISSED, "0")) + _WEIGHT[reach]
        if missed >= GONE:
            return self._ended(lease, stopped, _("stopped from within; it does not answer any more"))
        return evolve(lease, shop={**lease.shop, MISSED: str(missed)})

    async def _probe(self, lease: Lease) -> Reachability:
        if lease.endpoint is None:
            return Reachability.UNKNOWN
        return await self.connector.probe(lease.id, lease.endpoint)

    def _ended(self, lease: Lease, at: datetime, note: str, state: LeaseState = LeaseState.RELEASED) -> Lease:
        kept = self.plugins.provider_entry(lease.provider).profile.kept
        moved = lease.to(LeaseState.KEPT if kept else state, note)
        return evolve(moved, endpoint=None, ended_at=at, kept_until=at + kept if kept else None)


def _releasing(lease: Lease, note: str, facts: dict[str, str]) -> Lease:
    return evolve(lease.to(LeaseState.RELEASING, note), shop={**lease.shop, **facts})


def _to_page(lease: Lease, why: str) -> Lease:
    facts = {name: value for name, value in lease.shop.items() if name not in (STOPPED, MISSED)}
    return evolve(lease, note=why, shop={**facts, HOW: "page"})
