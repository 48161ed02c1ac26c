"""What the name of a field, a header or a parameter says about its value."""

from __future__ import annotations

import re
from functools import lru_cache

from gpurent.infra.recording.placeholders import ValueKind

_SECRET_PARTS = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "secret", "token", "apikey", "accesskey"),
    *(
        "privatekey",
        "authkey",
        "credential",
        "cookie",
        "authorization",
        "signature",
        "csrf",
        "xsrf",
        "captcha",
    ),
    *("mnemonic", "seedphrase", "sessionid", "sessionkey", "imagelogin", "registrylogin", "dockerlogin"),
    *("密码", "口令", "密钥", "验证码"),
)
_SECRETS = frozenset(
    {"auth", "key", "pass", "sid", "session", "sign", "sig", "otp", "pin", "bearer", "jwt", "ticket"}
)
_CODE = re.compile(
    r"(?:stop|cancel|cancer|return\w*|verif\w*|sms|mail|email|auth\w*|invit\w*|login|access|security)code"
)
_ACCOUNTS = frozenset(
    {
        *(
            "account",
            "accountid",
            "accountname",
            "accountnumber",
            "userid",
            "uid",
            "user",
            "username",
            "login",
        ),
        *("customer", "customerid", "ownerid", "memberid", "tenantid", "orgid", "organizationid", "teamid"),
        *("nickname", "fullname", "firstname", "lastname", "realname", "phone", "phonenumber", "mobile"),
        *(
            "telephone",
            "taxid",
            "idcard",
            "wallet",
            "address",
            "billingaddress",
            "ssnlast4",
            "stripecustomerid",
        ),
        *("creatorid", "payerid", "buyerid", "billaddress", "company", "birthday", "balanceaddress"),
    }
)
_ACCOUNT_PARTS = ("walletaddress", "useraddress", "accountid", "userid", "username", "phonenumber")
_NO_ACCOUNTS = frozenset({"usernameplatform"})  # a brand
_HOSTS = frozenset(
    {
        *(
            "host",
            "hostname",
            "sshhost",
            "publicipaddr",
            "publicip",
            "publichost",
            "ip",
            "ipaddr",
            "ipaddress",
        ),
        *(
            "localipaddrs",
            "privateip",
            "privateipaddress",
            "publicipaddress",
            "dnsname",
            "publicdnsname",
            "fqdn",
        ),
        *("machinehost", "sshaddress", "proxyhost", "externalip", "internalip"),
    }
)
_CONTENTS = frozenset(
    {
        *(
            "env",
            "extraenv",
            "envs",
            "environment",
            "environmentvariables",
            "onstart",
            "startscript",
            "userdata",
        ),
        *("startupscript", "onstartcmd", "dockerargs", "dockerstartcmd", "args", "entrypoint", "initscript"),
    }
)
# An object that has one of these describes an account, so that its plain ``id`` is the account's.
_OF_ACCOUNTS = frozenset({"email", "username", "apikey", "fullname", "phone", "credit", "balance", "mobile"})
_PATHS_OF_ACCOUNTS = frozenset(
    {
        "user",
        "users",
        "account",
        "accounts",
        "customer",
        "customers",
        "member",
        "members",
        "wallet",
        "wallets",
        "team",
    }
)
_OWN_WORDS = frozenset({"me", "self", "current", "settings", "profile", "login", "balance", "bills"})
_PUBLIC = ("publickey", "pubkey", "sshkey", "hostkey", "fingerprint")


@lru_cache(maxsize=4096)
def classify_name(name: str) -> ValueKind | None:
    """Return what a value of this name is; None if the name says nothing."""
    word = re.sub(r"[^a-z0-9\u4e00-\u9fff]", "", name.lower())
    if any(part in word for part in _PUBLIC):
        return ValueKind.PUBLIC_KEY
    if word in _SECRETS or any(part in word for part in _SECRET_PARTS) or _CODE.fullmatch(word):
        return ValueKind.SECRET
    if word in _NO_ACCOUNTS:
        return None
    if word in _ACCOUNTS or any(part in word for part in _ACCOUNT_PARTS):
        return ValueKind.ACCOUNT
    if word in _CONTENTS:
        return ValueKind.CONTENT
    return ValueKind.HOST if word in _HOSTS else None


def describes_account(names: list[str]) -> bool:
    """Return whether an object with these fields describes an account."""
    return any(re.sub(r"[^a-z0-9]", "", name.lower()) in _OF_ACCOUNTS for name in names)


def is_account_segment(before: str, segment: str) -> bool:
    """Return whether a segment of a path, after the one ``before``, names an account."""
    return before.lower() in _PATHS_OF_ACCOUNTS and segment.lower() not in _OWN_WORDS and segment != ""
