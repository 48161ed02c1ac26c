"""Contract tests for `gpurent.roles.lease.AssistedRental`: what the user is told to do on the provider's pages."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from attrs import evolve

from gpurent.domain.access import is_loopback
from gpurent.domain.question import Mail
from gpurent.roles.lease import AssistedRental, ManualTask
from gpurent.roles.simulator import SupportsManualRental
from gpurent.testing.contracts.contract import require_capability
from gpurent.testing.contracts.provider.bad_answers import CallCounter
from gpurent.testing.contracts.provider.base import ProviderContractBase
from gpurent.testing.contracts.provider.opened import OpenProvider


class AssistedRentalContract(ProviderContractBase):
    """Contract tests for a rental that a user does by hand."""

    def require_pages(self, opened: OpenProvider) -> AssistedRental:
        return require_capability(opened.provider, AssistedRental, opened.name)

    async def test_each_task_has_steps_on_the_provider_s_own_pages(self, opened: OpenProvider) -> None:
        pages = self.require_pages(opened)
        lease = (await opened.rent()).current_lease
        counter = CallCounter(opened)
        for task in ManualTask:
            found = pages.get_instructions(task, lease)
            assert found == pages.get_instructions(task, lease)
            assert found.steps, task
            host = urlsplit(found.url).hostname or ""
            assert not found.url or host in opened.setup.entry.web_hosts or is_loopback(host), found.url
            assert not found.code or re.compile(found.code).groups == 1
            assert not found.code or found.sender, "a code is only taken from a known sender"
        assert counter.count == 0, "instructions are pure"

    async def test_mail_that_is_no_access_gives_none(self, opened: OpenProvider) -> None:
        pages = self.require_pages(opened)
        at = opened.clock.now()
        for text in ("", "hello", "ssh", "ssh root@ -p", "ssh -oProxyCommand=evil root@host", "x" * 100_000):
            mail = Mail(uid="1", at=at, sender="evil@evil.example", subject="hello", text=text)
            assert pages.parse_access(mail) is None, text[:40]

    async def test_the_mail_of_a_manual_rental_is_understood(self, opened: OpenProvider) -> None:
        pages = self.require_pages(opened)
        renting = require_capability(
            opened.simulator, SupportsManualRental, f"the simulator of {opened.name}"
        )
        instructions = pages.get_instructions(ManualTask.RENT)
        access = await renting.rent_manually()
        if instructions.sender:
            await opened.settle()
            mails = [
                mail
                for mailbox in opened.sandbox.post_office.mailboxes.values()
                for mail in mailbox.mails
                if mail.sender == instructions.sender.lower() and instructions.subject in mail.subject
            ]
            found = [pages.parse_access(mail) for mail in mails]
            for one in found:
                assert one is not None
                assert one.password is not None
                assert access.password == one.password.reveal()
            for mail in mails:
                assert pages.parse_access(evolve(mail, text=mail.text[: len(mail.text) // 2])) in (
                    None,
                    *found,
                )
        await renting.stop_manually(access.ref)
        await renting.stop_manually(access.ref)
