"""How a seeded fault is written down: a root (`tests.roots`) whose test is one of a contract."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

SOURCES = {
    "vast": "plugins/vast/src/gpurent_plugin_vast",
    "mistgpu": "plugins/mistgpu/src/gpurent_plugin_mistgpu",
    "gpu1024": "plugins/gpu1024/src/gpurent_plugin_gpu1024",
    "dbc": "plugins/dbc/src/gpurent_plugin_dbc",
    "dbcchain": "plugins/dbcchain/src/gpurent_plugin_dbcchain",
    "runpod": "plugins/runpod/src/gpurent_plugin_runpod",
    "prime": "plugins/prime/src/gpurent_plugin_prime",
    "imap": "plugins/imap/src/gpurent_plugin_imap",
    "webhook": "plugins/webhook/src/gpurent_plugin_webhook",
    "apprise": "plugins/apprise/src/gpurent_plugin_apprise",
    "torch": "plugins/torch/src/gpurent_plugin_torch",
    "plain": "core/gpurent/infra/registry",
    "ecb": "plugins/ecb/src/gpurent_plugin_ecb",
    "screen": "plugins/screen/src/gpurent_plugin_screen",
    "tmux": "plugins/tmux/src/gpurent_plugin_tmux",
    "dtach": "examples/plugins/dtach/src/gpurent_plugin_dtach",
    "openssh": "plugins/openssh/src/gpurent_plugin_openssh",
    "ssh": "plugins/ssh/src/gpurent_plugin_ssh",
    "sftp": "plugins/sftp/src/gpurent_plugin_sftp",
}
CONTRACTS = {
    "runpod": "plugins/runpod/tests/test_runpod_contract.py::TestProvider",
    "vast": "plugins/vast/tests/test_vast_contract.py::TestProvider",
    "mistgpu": "plugins/mistgpu/tests/test_mistgpu_contract.py::TestProvider",
    "gpu1024": "plugins/gpu1024/tests/test_gpu1024_contract.py::TestProvider",
    "dbc": "plugins/gpu1024/tests/test_gpu1024_contract.py::TestProvider",
    "dbcchain": "plugins/dbcchain/tests/test_dbcchain_contract.py::TestProvider",
    "prime": "plugins/prime/tests/test_prime_contract.py::TestProvider",
    "imap": "plugins/imap/tests/test_imap_mailbox.py::TestImapMailbox",
    "webhook": "plugins/webhook/tests/test_webhook_contract.py::TestWebhook",
    "apprise": "plugins/apprise/tests/test_apprise_contract.py::TestApprise",
    "torch": "plugins/torch/tests/test_torch_contract.py::TestTorchrun",
    "plain": "tests/infra/test_plain_launcher.py::TestPlainLauncher",
    "ecb": "plugins/ecb/tests/test_ecb_contract.py::TestEcb",
    "screen": "plugins/screen/tests/test_screen_contract.py::TestScreenBackend",
    "tmux": "plugins/tmux/tests/test_tmux_contract.py::TestTmuxBackend",
    "dtach": "examples/plugins/dtach/tests/test_dtach_contract.py::TestDtach",
    "openssh": "plugins/openssh/tests/test_openssh_config.py::TestOpenSsh",
    "ssh": "plugins/ssh/tests/test_ssh_contract.py::TestAnySshHost",
    "sftp": "plugins/sftp/tests/test_sftp_contract.py::TestSftpEmbedded",
}
"""The class of contract tests of each plugin; a wallet is tested by a provider that is paid with it."""
_ON_MACHINES = ("screen", "tmux", "dtach")
CORE = "core/gpurent"
JSON_API = f"{CORE}/roles/json_api.py"
JSON_REPLY = f"{CORE}/roles/json_reply.py"
CREATE_ATTEMPTS = f"{CORE}/roles/create_attempts.py"
LABELLED_PROVIDER = f"{CORE}/roles/labelled_provider.py"
VOLUMES = f"{CORE}/roles/volumes.py"
SIMULATED_ACCOUNTS = f"{CORE}/roles/simulated_accounts.py"


def seed(
    role: str, name: str, summary: str, plugin: str, test: str, *edits: tuple[str, str, str]
) -> TestedRoot:
    """Return the fault; ``test`` of the plugin's contract has to fail. An edit: file, what is right, what is wrong.

    A file is one of the plugin's sources, or, below `CORE`, a helper that core gives to all plugins.
    """
    # One kind of machine is enough: what never comes is waited for on each.
    needs_machine = plugin in _ON_MACHINES and "any_listing" not in test
    return TestedRoot(
        name=f"{role}-{name}",
        kind=role,
        summary=f"{plugin}: {summary}",
        edits=tuple(Edit(_find_source(plugin, file), right, wrong) for file, right, wrong in edits),
        tests=(f"{CONTRACTS[plugin]}::{test}{'[embedded]' if needs_machine else ''}",),
    )


def _find_source(plugin: str, file: str) -> str:
    return file if file.startswith(f"{CORE}/") else f"{SOURCES[plugin]}/{file}"
