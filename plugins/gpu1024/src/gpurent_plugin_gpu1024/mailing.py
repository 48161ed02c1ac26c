"""What 1024GPU says by mail: codes, and the one and only word of the SSH access.

Wording assumed, form of the line known.
"""

from __future__ import annotations

import re
from datetime import datetime

from attrs import frozen

from gpurent.api import Challenge, Endpoint, Host, Mail, Secret, UsageError

# The source's own template: "ssh -p 20049 root@116.85.24.172，密码：xxxxx"
_ACCESS = re.compile(
    r"(?P<line>ssh [\x21-\x7e ]{5,120}?)\s*[，,]\s*密码\s*[：:]\s*(?P<password>[\x21-\x7e]{6,64})"
)
CODE = r"(?:验证码[：:]\s*)?(\d{4,8})"


@frozen(kw_only=True)
class Access:
    """Where and with which first password."""

    endpoint: Endpoint
    password: Secret
    at: datetime


def access_in(mail: Mail, user: str) -> Access | None:
    """The access in ``mail``: exactly one line of the known form, for the known user; else nothing."""
    found = []
    for line in mail.text.splitlines():
        match = _ACCESS.fullmatch(line.strip())
        if match is None:
            continue
        try:
            endpoint = Endpoint.parse(match["line"])
        except UsageError:
            return None
        found.append(Access(endpoint=endpoint, password=Secret(match["password"]), at=mail.at))
    if len(found) != 1 or found[0].endpoint.user != user:
        return None
    return found[0]


async def find_access(host: Host, order_id: str, since: datetime, user: str) -> tuple[Access | None, bool]:
    """The newest access for ``order_id``, and whether there was a mail that could not be read."""
    mails = await host.mail.search(since=since, sender=host.settings["mail_sender"], subject=order_id)
    garbled = False
    for mail in reversed(mails):
        if "登录方式" not in mail.subject:
            continue
        found = access_in(mail, user)
        if found is not None:
            return found, garbled
        garbled = True
    return None, garbled


def code_challenge(host: Host, order_id: str, what: str, since: datetime) -> Challenge:
    return Challenge(
        key=f"{order_id}-{what}",
        question=f"1024GPU: the code to {what} order {order_id}, from its mail",
        pattern=CODE,
        sender=host.settings["mail_sender"],
        subject=order_id,
        since=since,
    )
