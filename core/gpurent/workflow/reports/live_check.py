"""Asks the services of a plugin what costs nothing and changes nothing, with the user's own account."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from attrs import frozen

from gpurent.domain.evidence import Known, Unknown
from gpurent.domain.offer import Requirements
from gpurent.errors import AuthError, GpurentError
from gpurent.locale import _
from gpurent.roles.account import SupportsStatement
from gpurent.roles.entries import BillingEntry, LeaseEntry, MailboxEntry, PluginEntry, RateEntry
from gpurent.roles.volumes import SupportsVolumes
from gpurent.workflow.runtime.logins import Logins
from gpurent.workflow.runtime.plugins import Plugins

TIME_LIMIT = 60.0
"""Real seconds for one question."""
MAIL_SPAN = timedelta(hours=1)
_NOBODY = "nobody@gpurent.invalid"


@frozen(kw_only=True)
class LiveAnswer:
    """What came of one question: ``ok``, and in words how many things were listed, or why not."""

    kind: str
    entry: str
    question: str
    ok: bool
    text: str
    is_sandbox: bool = False

    def to_data(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "entry": self.entry,
            "question": self.question,
            "ok": self.ok,
            "text": self.text,
            "is_sandbox": self.is_sandbox,
        }


@frozen
class LiveCheck:
    """Only methods that read are called: nothing is ordered, paid, released or sent."""

    plugins: Plugins
    logins: Logins

    async def ask_services(self, names: Sequence[tuple[str, str]]) -> list[LiveAnswer]:
        """Ask for each ``(kind, name)`` of a plugin; those that have no service are left out."""
        found = []
        for kind, name in names:
            questions = await self._find_questions(kind, name)
            for question, ask in questions:
                found.append(await self._ask(kind, name, question, ask))
        return found

    async def _find_questions(
        self, kind: str, name: str
    ) -> list[tuple[str, Callable[[], Awaitable[object]]]]:
        match kind:
            case "auth":
                return [("is_valid", lambda: self._check_login(name))]
            case "lease":
                return self._find_provider_questions(name)
            case "billing":
                return self._find_billing_questions(name)
            case "rate":
                return [
                    (
                        "list_rates",
                        self.plugins.build(self.plugins.registry.get_entry(RateEntry, name)).list_rates,
                    )
                ]
            case "mailbox":
                return [("search", lambda: self._search_mail(name))]
        return []

    def _find_provider_questions(self, name: str) -> list[tuple[str, Callable[[], Awaitable[object]]]]:
        provider: Any = self.plugins.provider(name)
        questions: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("list_offers", lambda: provider.list_offers(Requirements())),
            ("list_leases", provider.list_leases),
        ]
        if isinstance(provider, SupportsVolumes):
            questions.append(("list_volume_offers", provider.list_volume_offers))
            questions.append(("list_volumes", provider.list_volumes))
        return questions

    def _find_billing_questions(self, name: str) -> list[tuple[str, Callable[[], Awaitable[object]]]]:
        billing: Any = self.plugins.build(
            self.plugins.registry.get_entry(BillingEntry, name), self._find_auth(name)
        )
        questions: list[tuple[str, Callable[[], Awaitable[object]]]] = [("get_balance", billing.get_balance)]
        if isinstance(billing, SupportsStatement):
            questions.append(("get_statement", billing.get_statement))
        return questions

    def _find_auth(self, billing: str) -> str:
        """Return the login of a provider that is paid from this account."""
        entries = self.plugins.registry.get_entries(LeaseEntry).values()
        return next((entry.auth for entry in entries if entry.billing == billing), "")

    async def _check_login(self, name: str) -> str:
        login = await self.logins.get_login(name)
        if not await self.plugins.authenticator(name).is_valid(login):
            raise AuthError(_("the stored login is no longer valid"))
        return login.account

    async def _search_mail(self, name: str) -> Sequence[object]:
        entry = self.plugins.registry.get_entry(MailboxEntry, name)
        context = self.plugins.make_context(entry, "")
        since = context.clock.now() - MAIL_SPAN
        return await self.plugins.build(entry).search(since=since, sender=_NOBODY, subject="gpurent")

    async def _ask(
        self, kind: str, name: str, question: str, ask: Callable[[], Awaitable[object]]
    ) -> LiveAnswer:
        try:
            async with asyncio.timeout(TIME_LIMIT):
                answer = await ask()
        except TimeoutError:
            ok, text = False, _("no answer within {seconds} s").format(seconds=f"{TIME_LIMIT:g}")
        except GpurentError as error:
            ok, text = False, error.message
        else:
            ok, text = not isinstance(answer, Unknown), _describe(answer)
        is_sandbox = await self._is_sandbox(kind, name)
        return LiveAnswer(kind=kind, entry=name, question=question, ok=ok, text=text, is_sandbox=is_sandbox)

    async def _is_sandbox(self, kind: str, name: str) -> bool:
        entry = _ENTRIES.get(kind)
        if entry is None:
            return False
        context = self.plugins.make_context(self.plugins.registry.get_entry(entry, name), "")
        url = context.settings.get("url", "")
        return bool(url) and (await context.identify_service(url)).is_sandbox


def _describe(answer: object) -> str:
    if isinstance(answer, Unknown):
        return answer.reason
    if isinstance(answer, Known):
        return _("{count} listed").format(count=len(answer.items))
    if isinstance(answer, list | tuple):
        return _("{count} listed").format(count=len(answer))
    return _("answered")


_ENTRIES: dict[str, type[PluginEntry[Any]]] = {
    "lease": LeaseEntry,
    "billing": BillingEntry,
    "rate": RateEntry,
}
