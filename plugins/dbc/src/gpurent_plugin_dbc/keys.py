"""Keys, addresses and the login, as of NEO 2 on which DBC lived in 2020: secp256r1, Base58Check, version 0x17."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gpurent.api import Authenticator, AuthError, Login, Secret, SupportsEnrolment, UsageError
from gpurent_plugin_dbc.messages import _

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VERSION = b"\x17"
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _key(private: Secret) -> ec.EllipticCurvePrivateKey:
    text = private.reveal().strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise AuthError(_("a private key has 64 hexadecimal digits"), hint="gpurent login 1024gpu")
    number = int(text, 16)
    if not 0 < number < _ORDER:
        raise AuthError(_("this number is no private key"))
    return ec.derive_private_key(number, ec.SECP256R1())


def new_private() -> Secret:
    """A fresh private key as hexadecimal digits."""
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return Secret(f"{number:064x}")


def public_of(private: Secret) -> str:
    """The compressed public key as hexadecimal digits."""
    return _key(private).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint).hex()


def address_of(public: str) -> str:
    """The address of a compressed public key."""
    script = b"\x21" + bytes.fromhex(public) + b"\xac"
    return _check_encode(_VERSION + _short(hashlib.sha256(script).digest()))


def _short(digest: bytes) -> bytes:
    try:
        return hashlib.new("ripemd160", digest).digest()
    except ValueError:  # OpenSSL 3.0 hides it
        from gpurent_plugin_dbc.ripemd import ripemd160

        return ripemd160(digest)


def check_address(address: str) -> str:
    """``address``, when its checksum and version are right; else a `UsageError`."""
    raw = _decode(address)
    good = len(raw) == 25 and raw[:1] == _VERSION and _sum(raw[:-4]) == raw[-4:]
    if not good:
        raise UsageError(
            _("not a wallet's address: {address!r}").format(address=address[:60]), hint=_("Nothing was paid.")
        )
    return address


def sign(private: Secret, body: str) -> str:
    """An ECDSA signature (DER, hexadecimal) of ``body`` with SHA-256."""
    return _key(private).sign(body.encode(), ec.ECDSA(hashes.SHA256())).hex()


def verify(public: str, body: str, signature: str) -> bool:
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), body.encode(), ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        return False
    return True


def _sum(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4]


def _check_encode(data: bytes) -> str:
    data += _sum(data)
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + text


def _decode(text: str) -> bytes:
    if not 20 <= len(text) <= 40:
        return b""
    number = 0
    for letter in text:
        digit = _ALPHABET.find(letter)
        if digit < 0:
            return b""
        number = number * 58 + digit
    return number.to_bytes((number.bit_length() + 7) // 8)


class KeyLogin(Authenticator, SupportsEnrolment):
    """Nothing is asked of anybody: the address follows from the key."""

    async def login(self, given: Mapping[str, Secret]) -> Login:
        private = Secret(given["private_key"].reveal().strip().lower())
        return Login(account=address_of(public_of(private)), token=private)

    async def valid(self, login: Login) -> bool:
        return address_of(public_of(login.token)) == login.account

    async def enrol(self) -> Mapping[str, Secret]:
        return {"private_key": new_private()}
