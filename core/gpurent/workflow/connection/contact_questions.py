"""The questions about a machine that is contacted for the first time, and their answers when nobody is there."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from gpurent.domain.access import AccessSource, Endpoint
from gpurent.domain.first_contact import Doubt
from gpurent.domain.lease import Lease
from gpurent.domain.question import Question, QuestionKind
from gpurent.errors import HostKeyChanged, InputRequired
from gpurent.locale import _
from gpurent.ports.connection import Connector, HostKey
from gpurent.workflow.runtime.questions import Questions


@frozen(kw_only=True)
class ContactRequest:
    """A machine to contact for ``lease_id``, at ``endpoint``, which came from ``source``.

    ``fingerprint`` is what the user says its host key has; empty if they say nothing. ``may_ask`` false: somebody may
    be there, but is busy with something else. ``how_to_answer`` is the command that answers the question later, to
    which ``--fingerprint`` is added. ``burning``: leases that cost money meanwhile.
    """

    lease_id: str
    endpoint: Endpoint
    source: AccessSource
    fingerprint: str = ""
    may_ask: bool = True
    how_to_answer: str = ""
    burning: tuple[str, ...] = ()

    def format_answer(self, key: HostKey | None) -> str:
        """Return the command that answers the question; without a shown ``key`` it asks again in a terminal."""
        return f"{self.how_to_answer} --fingerprint {key.fingerprint}" if key else self.how_to_answer


def make_request(lease: Lease, endpoint: Endpoint, *, fingerprint: str = "") -> ContactRequest:
    """Return the request to contact the machine of a lease that is in the Store."""
    return ContactRequest(
        lease_id=lease.id,
        endpoint=endpoint,
        source=lease.access_source,
        fingerprint=fingerprint,
        how_to_answer=f"gpurent connect {lease.id}",
        burning=() if lease.is_over else (lease.id,),
    )


@frozen
class ContactQuestions:
    questions: Questions
    connector: Connector

    async def ask_once(self, request: ContactRequest, key: HostKey) -> None:
        """Ask whether this is the machine, if somebody is at a terminal; `-y` and unattended runs go on."""
        if request.may_ask and self.questions.is_interactive:
            await self._ask(request, _make_question(request, key, (), needs_person=False), key, ())

    async def require_agreement(
        self, request: ContactRequest, key: HostKey | None, doubts: Sequence[Doubt]
    ) -> None:
        """Return if a person agrees to this contact; `-y` is no answer. ``key`` None: it was not asked for yet.

        Raises `InputRequired` if nobody is there, or the answer is no: the lease is kept, and its limits stay in force.
        """
        if not (request.may_ask and self.questions.is_interactive):
            raise self._make_error(request, key, doubts)
        await self._ask(request, _make_question(request, key, doubts, needs_person=True), key, doubts)

    async def _ask(
        self, request: ContactRequest, question: Question, key: HostKey | None, doubts: Sequence[Doubt]
    ) -> None:
        if not await self.questions.confirm(question):
            raise self._make_error(request, key, doubts)

    def _make_error(
        self, request: ContactRequest, key: HostKey | None, doubts: Sequence[Doubt]
    ) -> InputRequired:
        reasons = [describe_doubt(doubt) for doubt in doubts]
        if key is not None:
            reasons.append(_("It shows the host key {fingerprint}.").format(fingerprint=key.fingerprint))
        reasons.extend(self._describe_pins(request))
        if request.how_to_answer:
            text = _("If it is the machine that you rented: {command}")
            if key is None:
                text = _(
                    "If it is the machine that you rented, run in a terminal, where you are asked: {command}\n"
                    "(--fingerprint is a second answer, if the provider's page states the machine's host key.)"
                )
            reasons.append(text.format(command=request.format_answer(key)))
        if request.burning:
            text = _("If it is not, and you do not need it: gpurent release {lease}")
            reasons.append(text.format(lease=request.lease_id))
        return InputRequired(
            _("only you can say whether {endpoint} is the machine of {lease}; nothing was sent to it").format(
                endpoint=request.endpoint, lease=request.lease_id
            ),
            hint="\n".join(reasons),
            retryable=True,
            burning=request.burning,
        )

    def _describe_pins(self, request: ContactRequest) -> list[str]:
        """Say where the lease's machine was until now, if it has one."""
        text = _("Until now it was {place} with the host key {fingerprint}.")
        return [
            text.format(place=pin.place, fingerprint=pin.key.fingerprint)
            for pin in self.connector.list_host_keys(request.lease_id)
            if pin.is_current
        ]


def describe_doubt(doubt: Doubt) -> str:
    """Return why a person has to decide, as one sentence."""
    return {
        Doubt.UNAUTHENTICATED_MAIL: _(
            "An e-mail named it, and your e-mail service did not confirm who sent that"
            " (see the mailbox's setting authserv_id)."
        ),
        Doubt.UNAUTHENTICATED: _("Where its address came from is not authenticated."),
        Doubt.OTHER_PLACE: _(
            "The machine of this lease was at another place, and no order of yours moved it."
        ),
        Doubt.OTHER_KEY: _(
            "Its host key changed: the machine was reinstalled, or somebody intercepts the connection."
        ),
        Doubt.INNER_ADDRESS: _("Its address is not on the Internet, but in your own network or computer."),
    }[doubt]


def make_mismatch_error(endpoint: Endpoint, shown: str, expected: str) -> HostKeyChanged:
    return HostKeyChanged(
        _("{endpoint} presented the host key {shown}, not {expected}").format(
            endpoint=endpoint, shown=shown, expected=expected
        ),
        hint=_(
            "Someone may be intercepting the connection, or the fingerprint belongs to "
            "another machine. No password was sent."
        ),
    )


def _make_question(
    request: ContactRequest, key: HostKey | None, doubts: Sequence[Doubt], *, needs_person: bool
) -> Question:
    text = _("Connect to {endpoint}?").format(endpoint=request.endpoint)
    details = [describe_doubt(doubt) for doubt in doubts]
    if key is not None:
        text = _("Connect to {endpoint}, whose host key is {fingerprint}?").format(
            endpoint=request.endpoint, fingerprint=key.fingerprint
        )
    return Question(
        id=f"contact:{request.lease_id}:{request.endpoint}",
        kind=QuestionKind.TRUST,
        text=text,
        details=tuple(details),
        needs_person=needs_person,
    )
