"""sr25519 keys: from twelve words or a seed. The library that signs is an extra, loaded on the first use."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from attrs import field, frozen

from gpurent.api import AuthError, PluginError, Secret
from gpurent_plugin_dbcchain.base58 import address

_EXTRA = "pip install 'gpurent-plugin-dbcchain[sign]'"
_ROUNDS = 2048


def _sr25519() -> Any:
    try:
        import sr25519  # type: ignore[import-untyped]
    except ImportError:
        raise PluginError("signing needs py-sr25519-bindings, which is not installed", hint=_EXTRA) from None
    return sr25519


def _words() -> Any:
    try:
        from mnemonic import Mnemonic
    except ImportError:
        raise PluginError("the words of a key need mnemonic, which is not installed", hint=_EXTRA) from None
    return Mnemonic("english")


@frozen
class Pair:
    """A key pair; ``secret`` is the expanded secret key (64 bytes)."""

    public: bytes
    secret: bytes = field(repr=False)

    @property
    def address(self) -> str:
        return address(self.public)

    def sign(self, message: bytes) -> bytes:
        """64 bytes, in the ``substrate`` context; another one each time."""
        found: bytes = _sr25519().sign((self.public, self.secret), message)
        return found


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    if len(public) != 32 or len(signature) != 64:
        return False
    try:
        return bool(_sr25519().verify(signature, message, public))
    except ValueError:
        return False


def new_phrase() -> Secret:
    """Twelve fresh words."""
    return Secret(_words().generate(128))


def seed_of(secret: Secret) -> bytes:
    """The seed (32 bytes) of ``0x`` and 64 digits, or of words without a password and without a path.

    Substrate stretches the words' entropy, not the words themselves as BIP-39 would.
    """
    text = " ".join(secret.reveal().split())
    if re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text.removeprefix("0x"))
    if "/" in text:
        raise AuthError(
            "a key with a derivation path is not read here", hint="Give the words or the seed alone."
        )
    words = _words()
    if not words.check(text):
        raise AuthError(
            "these are no words of a key, or one of them is wrong", hint="gpurent login dbc-chain"
        )
    return hashlib.pbkdf2_hmac("sha512", bytes(words.to_entropy(text)), b"mnemonic", _ROUNDS)[:32]


def pair_of(secret: Secret) -> Pair:
    public, expanded = _sr25519().pair_from_seed(seed_of(secret))
    return Pair(bytes(public), bytes(expanded))
