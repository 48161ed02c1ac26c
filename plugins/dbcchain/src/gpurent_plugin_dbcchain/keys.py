"""sr25519 keys, their addresses (Base58, SS58), and the login with a key.

A key comes from twelve words or a seed. The signing library is an optional extra, loaded on first use.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from attrs import field, frozen

from gpurent.api import Authenticator, AuthError, Login, PluginError, Secret, SupportsEnrolment
from gpurent_plugin_dbcchain import _

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
SS58_PREFIX = 42
_INSTALL_COMMAND = "pip install 'gpurent-plugin-dbcchain[sign]'"
_PBKDF2_ROUNDS = 2048


def base58_encode(data: bytes) -> str:
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def base58_decode(text: str) -> bytes:
    """Decode ``text``. Raises `ValueError` for another letter, or if it is far too long."""
    if len(text) > 200:
        raise ValueError("too long")
    number = 0
    for letter in text:
        number = number * 58 + _ALPHABET.index(letter)
    body = number.to_bytes((number.bit_length() + 7) // 8)
    return b"\0" * (len(text) - len(text.lstrip("1"))) + body


def base58check_encode(payload: bytes) -> str:
    return base58_encode(payload + _compute_checksum(payload))


def base58check_decode(text: str) -> bytes:
    """Return the payload of a Base58Check text. Raises `ValueError` if the checksum is wrong."""
    raw = base58_decode(text)
    if len(raw) < 4 or _compute_checksum(raw[:-4]) != raw[-4:]:
        raise ValueError("the check sum is wrong")
    return raw[:-4]


def _compute_checksum(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4]


def ss58_encode(public: bytes) -> str:
    """Return the SS58 address of a public key, with the chain's prefix."""
    body = bytes([SS58_PREFIX]) + public
    return base58_encode(body + _compute_ss58_checksum(body))


def ss58_decode(text: str) -> bytes:
    """Return the public key of an address of this chain. Raises `ValueError` for anything else."""
    raw = base58_decode(text)
    if len(raw) != 35 or raw[0] != SS58_PREFIX or _compute_ss58_checksum(raw[:-2]) != raw[-2:]:
        raise ValueError(f"not an address of this chain: {text[:60]!r}")
    return raw[1:-2]


def _compute_ss58_checksum(body: bytes) -> bytes:
    return hashlib.blake2b(b"SS58PRE" + body).digest()[:2]


def _import_extra(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise PluginError(
            _("keys of the DeepBrain Chain need {package}, which is not installed").format(package=package),
            hint=_INSTALL_COMMAND,
        ) from None


def _load_sr25519() -> Any:
    return _import_extra("sr25519", "py-sr25519-bindings")


def _load_mnemonic() -> Any:
    return _import_extra("mnemonic", "mnemonic").Mnemonic("english")


@frozen
class Keypair:
    """A key pair; ``secret`` is the expanded secret key (64 bytes)."""

    public: bytes
    secret: bytes = field(repr=False)

    @property
    def address(self) -> str:
        return ss58_encode(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return a signature (64 bytes) in the ``substrate`` context; it differs each time."""
        return bytes(_load_sr25519().sign((self.public, self.secret), message))


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    if len(public) != 32 or len(signature) != 64:
        return False
    try:
        return bool(_load_sr25519().verify(signature, message, public))
    except ValueError:
        return False


def generate_mnemonic() -> Secret:
    """Return a new mnemonic of twelve words."""
    return Secret(_load_mnemonic().generate(128))


def derive_seed(secret: Secret) -> bytes:
    """Return the seed (32 bytes) from ``0x`` and 64 digits, or from words without a password and a path.

    Substrate stretches the words' entropy, not the words themselves as BIP-39 does.
    """
    text = " ".join(secret.reveal().split())
    if re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text.removeprefix("0x"))
    if "/" in text:
        raise AuthError(
            _("keys with a derivation path are not supported"),
            hint=_("Enter only the mnemonic or the seed."),
        )
    words = _load_mnemonic()
    if not words.check(text):
        raise AuthError(_("invalid mnemonic: a word is wrong or missing"), hint="gpurent login dbc-chain")
    return hashlib.pbkdf2_hmac("sha512", bytes(words.to_entropy(text)), b"mnemonic", _PBKDF2_ROUNDS)[:32]


def derive_keypair(secret: Secret) -> Keypair:
    public, expanded = _load_sr25519().pair_from_seed(derive_seed(secret))
    return Keypair(bytes(public), bytes(expanded))


class ChainAuthenticator(Authenticator, SupportsEnrolment):
    """Logs in without any request: the address follows from the key."""

    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        seed = Secret("0x" + derive_seed(fields["secret"]).hex())
        return Login(account=derive_keypair(seed).address, token=seed)

    async def is_valid(self, login: Login) -> bool:
        return derive_keypair(login.token).address == login.account

    async def create_credentials(self) -> Mapping[str, Secret]:
        return {"secret": generate_mnemonic()}
