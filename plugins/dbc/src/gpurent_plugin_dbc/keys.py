"""Keys, addresses and login, as in NEO 2, which DBC used in 2020: secp256r1, Base58Check, version 0x17."""

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
_ADDRESS_VERSION = b"\x17"
_CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _load_private_key(private: Secret) -> ec.EllipticCurvePrivateKey:
    text = private.reveal().strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise AuthError(_("a private key must have 64 hexadecimal digits"), hint="gpurent login 1024gpu")
    number = int(text, 16)
    if not 0 < number < _CURVE_ORDER:
        raise AuthError(_("this number is not a valid private key"))
    return ec.derive_private_key(number, ec.SECP256R1())


def generate_private_key() -> Secret:
    """Return a new private key in hexadecimal."""
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return Secret(f"{number:064x}")


def derive_public_key(private: Secret) -> str:
    """Return the compressed public key in hexadecimal."""
    return (
        _load_private_key(private)
        .public_key()
        .public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        .hex()
    )


def derive_address(public: str) -> str:
    """Return the address of a compressed public key."""
    script = b"\x21" + bytes.fromhex(public) + b"\xac"
    return _base58check_encode(_ADDRESS_VERSION + _hash_ripemd160(hashlib.sha256(script).digest()))


def _hash_ripemd160(digest: bytes) -> bytes:
    try:
        return hashlib.new("ripemd160", digest).digest()
    except ValueError:  # not available in OpenSSL 3.0
        from gpurent_plugin_dbc.ripemd import ripemd160

        return ripemd160(digest)


def check_address(address: str) -> str:
    """Return ``address`` if its checksum and version are right. Raises `UsageError` otherwise."""
    raw = _base58_decode(address)
    good = len(raw) == 25 and raw[:1] == _ADDRESS_VERSION and _compute_checksum(raw[:-4]) == raw[-4:]
    if not good:
        raise UsageError(_("invalid wallet address: {address!r}").format(address=address[:60]))
    return address


def sign(private: Secret, body: str) -> str:
    """Return an ECDSA signature (DER, hexadecimal) of ``body`` with SHA-256."""
    return _load_private_key(private).sign(body.encode(), ec.ECDSA(hashes.SHA256())).hex()


def verify(public: str, body: str, signature: str) -> bool:
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), body.encode(), ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        return False
    return True


def _compute_checksum(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4]


def _base58check_encode(data: bytes) -> str:
    data += _compute_checksum(data)
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + text


def _base58_decode(text: str) -> bytes:
    if not 20 <= len(text) <= 40:
        return b""
    number = 0
    for letter in text:
        digit = _ALPHABET.find(letter)
        if digit < 0:
            return b""
        number = number * 58 + digit
    return number.to_bytes((number.bit_length() + 7) // 8)


class DbcAuthenticator(Authenticator, SupportsEnrolment):
    """Logs in without any request: the address follows from the key."""

    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        private = Secret(fields["private_key"].reveal().strip().lower())
        return Login(account=derive_address(derive_public_key(private)), token=private)

    async def is_valid(self, login: Login) -> bool:
        return derive_address(derive_public_key(login.token)) == login.account

    async def create_credentials(self) -> Mapping[str, Secret]:
        return {"private_key": generate_private_key()}
