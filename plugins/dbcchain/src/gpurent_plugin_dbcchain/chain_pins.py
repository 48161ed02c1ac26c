"""Which chains and runtimes are signed for. A node decides neither: what it reports is compared with what is known."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from gpurent.api import MoneyError, is_loopback
from gpurent_plugin_dbcchain import _
from gpurent_plugin_dbcchain.extrinsic import ChainIdentity

# The chain's own wallet plugin has this hash, as the chain that its public nodes are on (constants.dart, 1cfd68e).
MAIN_GENESIS = "0xd523fa2e0581f069b4f0c7b5944c21e9abc72305a08067868c91b898d1bf1dff"
# The calls here are those of these runtimes (d03734c); in another one the same bytes may mean something else.
KNOWN_RUNTIMES = (411,)


def is_local_url(url: str) -> bool:
    """Return whether ``url`` is on this computer, where a chain that is not known is one of the sandbox."""
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def may_spend(settings: Mapping[str, str]) -> bool:
    """Return whether the user allows spending on the real chain, and how much in total."""
    return settings.get("allow_spending") == "yes" and bool(settings.get("max_total_spending", "").strip())


def make_spending_error() -> MoneyError:
    return MoneyError(
        _("spending on the real chain is not enabled"),
        hint=_(
            "This was never tested live. To allow it, set both [dbc-chain] "
            'allow_spending = "yes" and max_total_spending = "500DBC", the maximum that gpurent may ever sign for.'
        ),
    )


def check_identity(identity: ChainIdentity, settings: Mapping[str, str]) -> ChainIdentity:
    """Return ``identity``, which a node reports, if it may be signed for; otherwise raise `MoneyError`.

    A real chain is one, whoever reports it: a node on this computer does not make it a simulated one.
    """
    genesis = f"0x{identity.genesis.hex()}"
    if genesis in (MAIN_GENESIS, settings.get("genesis", "").strip().lower()):
        if not may_spend(settings):
            raise make_spending_error()
    elif not is_local_url(settings.get("url", "")):
        raise MoneyError(
            _("the node is on another chain: its first block is {genesis}").format(genesis=genesis),
            hint=_(
                "Nothing was signed. The node may be lying. If you mean this chain, "
                'set [dbc-chain] genesis = "{genesis}".'
            ).format(genesis=genesis),
        )
    added = settings.get("runtime_versions", "").replace(",", " ").split()
    if identity.spec_version not in KNOWN_RUNTIMES and str(identity.spec_version) not in added:
        raise MoneyError(
            _("the chain runs version {version}, which this plugin does not know").format(
                version=identity.spec_version
            ),
            hint=_(
                "Nothing was signed: in another version an order may mean something else. Update the plugin. If you "
                'know that the calls are the same, set [dbc-chain] runtime_versions = "{version}".'
            ).format(version=identity.spec_version),
        )
    return identity
