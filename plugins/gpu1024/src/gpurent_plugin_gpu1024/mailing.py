"""What 1024GPU says by mail: codes, and the one and only word of the SSH access.

Wording assumed, form of the line known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from gpurent.api import Challenge, Endpoint, Mail, PluginContext, Secret, UsageError
from gpurent_plugin_gpu1024.messages import _

# The source's own template: "ssh -p 20049 root@116.85.24.172，密码：xxxxx"
_ACCESS = re.compile(
    r"(?P<line>ssh [\x21-\x7e ]{5,120}?)\s*[，,]\s*密码\s*[：:]\s*(?P<password>[\x21-\x7e]{6,64})"
)


@frozen(kw_only=True)
class Access:
    """Where and with which first password."""

    endpoint: Endpoint
    password: Secret
    at: datetime


# Assumed: the subject ends with the order. Decoding may have eaten the blank before it.
_ORDER = re.compile(r".*登录方式\s*([0-9A-Za-z]{6,40})", re.ASCII)


def order_in(mail: Mail) -> str:
    """The order that a mail's subject names; empty if none."""
    match = _ORDER.fullmatch(mail.subject.strip())
    return match[1] if match is not None else ""


def access_in(mail: Mail, user: str) -> Access | None:
    """The access in ``mail``: exactly one line of the known form, for the known user; else nothing."""
    return _read(mail.text.splitlines(), user, mail.at)


def _read(lines: Sequence[str], user: str, at: datetime) -> Access | None:
    found = []
    for line in lines:
        match = _ACCESS.fullmatch(line.strip())
        if match is None:
            continue
        try:
            endpoint = Endpoint.parse(match["line"])
        except UsageError:
            return None
        found.append(Access(endpoint=endpoint, password=Secret(match["password"]), at=at))
    if len(found) != 1 or found[0].endpoint.user != user:
        return None
    return found[0]


async def find_access(
    host: PluginContext, order_id: str, since: datetime, user: str
) -> tuple[Access | None, bool]:
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


async def ask_access(host: PluginContext, order_id: str, since: datetime, user: str) -> Access | None:
    """Without a mailbox: the person copies the line. Nobody there is a `InputRequired`."""
    line = await host.ask(
        Challenge(
            key=f"{order_id}-access",
            question=_(
                "1024GPU: the line with ssh and the password from the mail on order {order_id}"
            ).format(order_id=order_id),
            pattern=r"(ssh .{5,200})",
            sender=host.settings["mail_sender"],
            subject=order_id,
            since=since,
            secret=True,
        )
    )
    return _read([line], user, host.clock.now())
