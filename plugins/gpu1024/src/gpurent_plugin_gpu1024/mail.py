"""What 1024GPU sends by e-mail: codes, and the SSH access, which is sent nowhere else.

The wording is assumed, the format of the SSH command is known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from attrs import evolve

from gpurent.api import (
    USER_SOURCE,
    AccessSource,
    AssistedRental,
    Bill,
    Challenge,
    Endpoint,
    Lease,
    MachineAccess,
    Mail,
    MailBinding,
    ManualTask,
    MoneyError,
    Payment,
    PaymentPurpose,
    PluginContext,
    Secret,
    Spent,
    SupportsMailChange,
    TaskInstructions,
    UsageError,
    begin_request,
)
from gpurent_plugin_gpu1024 import _, wire
from gpurent_plugin_gpu1024.client import CLOCK_TOLERANCE, Gpu1024Client

SSH_USER = "root"
# The provider's own template: "ssh -p 20049 root@116.85.24.172，密码：xxxxx"
_ACCESS_PATTERN = re.compile(
    r"(?P<line>ssh [\x21-\x7e ]{5,120}?)\s*[，,]\s*密码\s*[：:]\s*(?P<password>[\x21-\x7e]{6,64})"
)
# Assumed: the subject ends with the order number. Decoding may have dropped the space before it.
_ORDER_PATTERN = re.compile(r".*登录方式\s*([0-9A-Za-z]{6,40})", re.ASCII)
MAX_FEE_CODES = 5
# Ends the paths for a wallet that has an address already.
CHANGE = "_modify"


class Gpu1024MailMixin(SupportsMailChange, AssistedRental):
    """E-mail and instructions of the provider, in the words of the public web client.

    To bind an e-mail address, the provider mails a decimal below 1; it is paid as that many DBC and seen on the ledger.
    """

    _context: PluginContext
    _client: Gpu1024Client

    @property
    def is_manual(self) -> bool:
        return self._context.settings.get("mode", "auto") == "manual"

    def get_instructions(self, task: ManualTask, lease: Lease | None = None) -> TaskInstructions:
        url = f"{self._context.settings['web_url'].rstrip('/')}/home"
        if task is ManualTask.RENT:
            return TaskInstructions(
                url=url,
                steps=(
                    _("Open your wallet, bind your e-mail address, and pick a machine"),
                    _("Rent it and pay the requested amount of DBC; the SSH command arrives by e-mail"),
                ),
                sender=self._context.settings["mail_sender"],
                subject="登录方式",
            )
        if task is ManualTask.RELEASE:
            return TaskInstructions(
                url=url,
                steps=(
                    _("Find order {ref} in your GPU list (我的GPU) and click return (退租)").format(
                        ref=lease.ref if lease is not None else ""
                    ),
                    _("Enter the code (验证码) from the e-mail; unused money is refunded"),
                ),
                sender=self._context.settings["mail_sender"],
                code=r"(?:验证码[：:]\s*)?(\d{4,8})",
            )
        return TaskInstructions(
            url=url, steps=(_("Buy DBC (如何购买DBC); your wallet address is already filled in"),)
        )

    def parse_access(self, mail: Mail) -> MachineAccess | None:
        order = _ORDER_PATTERN.fullmatch(mail.subject.strip())
        lines, order_id = mail.text.splitlines(), order[1] if order is not None else ""
        return _parse_access(lines, order_id, mail.source)

    async def get_bound_email(self) -> str:
        found = await self._client.call(
            "/binding_email_rent/query_email", wallet_address=await self._client.get_wallet_address()
        )
        return found.content if found.status == wire.DONE and isinstance(found.content, str) else ""

    async def request_binding(self, email: str, key: str) -> MailBinding:
        return await self._request_code(email, key)

    async def request_mail_change(self, email: str, key: str) -> MailBinding:
        return await self._request_code(email, key, CHANGE)

    async def _request_code(self, email: str, key: str, suffix: str = "") -> MailBinding:
        """Return what has to be paid for the address; ``suffix`` ends the paths of a change."""
        find_time = begin_request(self._context.clock)
        wallet = await self._client.get_wallet_address()
        await self._client.call_checked(
            f"/binding_email_rent/request_code{suffix}", email=email, wallet_address=wallet
        )
        since = find_time() - CLOCK_TOLERANCE
        code = await self._get_binding_code(email, key, since, suffix)
        fee = wire.DBC.money(code)
        if not wire.DBC.zero < fee < wire.DBC.money(1):
            raise MoneyError(
                _("1024GPU sent the code {code}, which is not a valid amount").format(code=code),
            )
        bill = Bill(
            key=key,
            payee=self._context.settings["binding_address"],
            amount=fee,
            purpose=PaymentPurpose.FEE,
            memo=code,
            amount_is_unique=True,
        )
        return MailBinding(email=email, since=since, bill=bill)

    async def _get_binding_code(self, email: str, key: str, since: datetime, suffix: str) -> str:
        """Return the mailed code that 1024GPU accepts for this wallet.

        The e-mail does not name the wallet, and another one of the same user may be asking for a code now. What is paid
        with its code is lost, so 1024GPU is asked before. Raises `MoneyError` if it accepts none.
        """
        wallet, refused = await self._client.get_wallet_address(), list[str]()
        while len(refused) < MAX_FEE_CODES:
            code = await self._context.answer_challenge(
                Challenge(
                    key=key,
                    question=_("1024GPU: code that was e-mailed to {email}").format(email=email),
                    pattern=_make_fee_pattern(refused),
                    sender=self._context.settings["mail_sender"],
                    subject="绑定邮箱",
                    since=since,
                )
            )
            found = await self._client.call(
                f"/binding_email_rent/request_binding{suffix}", wallet_address=wallet, code=code
            )
            if found.status != wire.FAILED:
                return code
            refused.append(code)
        raise MoneyError(
            _("1024GPU accepts none of the codes that were e-mailed to {email}; nothing was paid").format(
                email=email
            ),
            spent=Spent.NO,
            retryable=True,
        )

    async def complete_binding(self, binding: MailBinding, payment: Payment | None) -> MailBinding:
        return await self._verify_code(binding, payment)

    async def complete_mail_change(self, binding: MailBinding, payment: Payment | None) -> MailBinding:
        verified = await self._verify_code(binding, payment, CHANGE)
        if not verified.done:
            return verified
        # An earlier change may be what is complete.
        bound = await self.get_bound_email()
        return evolve(binding, done=bound.casefold() == binding.email.casefold())

    async def _verify_code(
        self, binding: MailBinding, payment: Payment | None, suffix: str = ""
    ) -> MailBinding:
        wallet = await self._client.get_wallet_address()
        if binding.bill is not None and payment is not None:
            await self._client.call(
                f"/binding_email_rent/request_binding{suffix}", wallet_address=wallet, code=binding.bill.memo
            )
        found = await self._client.call(f"/binding_email_rent/binding_is_ok{suffix}", wallet_address=wallet)
        return evolve(binding, done=found.status == wire.DONE)

    async def _find_access(self, order_id: str, since: datetime) -> tuple[MachineAccess | None, bool]:
        """Return the newest access for ``order_id``, and whether some access e-mail could not be parsed.

        One from an e-mail that anybody may have sent counts only if there is no other. Raises `UnavailableError` or
        `AuthError` if the mailbox cannot be read.
        """
        if not self._context.mail.is_available:
            return await self._prompt_for_access(order_id, since), False
        mails = await self._context.mail.search(
            since=since - CLOCK_TOLERANCE, sender=self._context.settings["mail_sender"], subject=order_id
        )
        garbled, unchecked = False, None
        for mail in reversed(mails):
            if "登录方式" not in mail.subject:
                continue
            found = _parse_access(mail.text.splitlines(), order_id, mail.source)
            if found is not None and mail.source.is_authenticated:
                return found, garbled
            unchecked = unchecked or found
            garbled = garbled or found is None
        return unchecked, garbled

    async def _prompt_for_access(self, order_id: str, since: datetime) -> MachineAccess | None:
        """Ask the user to copy the SSH command, if no mailbox is set up.

        Raises `InputRequired` if nobody can be asked.
        """
        line = await self._context.answer_challenge(
            Challenge(
                key=f"{order_id}-access",
                question=_(
                    "1024GPU: line with the ssh command and password from the e-mail for order {order_id}"
                ).format(order_id=order_id),
                pattern=r"(ssh .{5,200})",
                sender=self._context.settings["mail_sender"],
                subject=order_id,
                since=since,
                secret=True,
            )
        )
        return _parse_access([line], order_id, USER_SOURCE)


def _make_fee_pattern(refused: Sequence[str]) -> str:
    """Return the pattern of a line with a code that was not refused: a decimal below 1."""
    others = "".join(f"(?!{re.escape(code)}$)" for code in refused)
    return rf"(?:验证码[：:]\s*)?{others}(0\.\d{{1,8}})"


def _parse_access(lines: Sequence[str], order_id: str, source: AccessSource) -> MachineAccess | None:
    """Return the access in an e-mail if exactly one line has the known format and the known user, else None."""
    found = []
    for line in lines:
        match = _ACCESS_PATTERN.fullmatch(line.strip())
        if match is None:
            continue
        try:
            endpoint = Endpoint.parse(match["line"])
        except UsageError:
            return None
        password = Secret(match["password"])
        found.append(MachineAccess(endpoint=endpoint, password=password, ref=order_id, source=source))
    if len(found) != 1 or found[0].endpoint.user != SSH_USER:
        return None
    return found[0]
