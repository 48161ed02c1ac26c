"""The roots in the vault, the ledger and the chain: S10, S11, S13."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_VAULT = "core/gpurent/infra/vault"
_DBCCHAIN = "plugins/dbcchain/src/gpurent_plugin_dbcchain"
_REPLACED = "tests/security/test_vault_replaced.py"
_NODE = "tests/security/test_chain_node.py"
_REWRITTEN = "tests/security/test_ledger_rewritten.py"

MONEY_ROOTS = (
    TestedRoot(
        name="vault-without-a-passphrase",
        kind="S10",
        summary="a vault that needs no passphrase takes the place of one that needs it",
        edits=(
            Edit(f"{_VAULT}/replaced.py", "    if now.kind != mark.kind:\n", "    if not now.kind:\n"),
            Edit(
                f"{_VAULT}/replaced.py",
                "if now.key and mark.key and now.key != mark.key:",
                "if now.key and now.kind == mark.kind and now.key != mark.key:",
            ),
        ),
        tests=(f"{_REPLACED}::test_a_vault_without_a_passphrase_in_place_of_one_with_it_is_not_read",),
    ),
    TestedRoot(
        name="old-vault-is-read",
        kind="S10",
        summary="a whole old vault, with its key, takes the place of the newer one",
        edits=(Edit(f"{_VAULT}/replaced.py", "if now.revision < mark.revision:", "if now.revision < 0:"),),
        tests=(f"{_REPLACED}::test_an_old_vault_is_not_read",),
    ),
    TestedRoot(
        name="seal-not-compared",
        kind="S10",
        summary="the vault's seal is not compared: an old record counts, another one is gone",
        edits=(
            Edit(
                f"{_VAULT}/file_vault.py",
                'key.seal(content) != content["seal"]:',
                'not content["seal"]:',
            ),
        ),
        tests=(
            f"{_REPLACED}::test_an_old_record_is_not_believed",
            f"{_REPLACED}::test_a_record_that_was_removed_is_noticed",
            f"{_REPLACED}::test_a_raised_count_does_not_help",
        ),
    ),
    TestedRoot(
        name="short-passphrase",
        kind="S10",
        summary="a passphrase of a few letters makes a vault",
        edits=(Edit(f"{_VAULT}/file_vault.py", "MIN_PASSPHRASE_LENGTH = 12", "MIN_PASSPHRASE_LENGTH = 1"),),
        tests=(f"{_REPLACED}::test_a_short_passphrase_makes_no_vault",),
    ),
    TestedRoot(
        name="any-chain-is-signed-for",
        kind="S11",
        summary="the genesis that a node reports is not compared",
        edits=(
            Edit(
                f"{_DBCCHAIN}/chain_pins.py",
                'elif not is_local_url(settings.get("url", "")):',
                "elif not genesis:",
            ),
        ),
        tests=(f"{_NODE}::test_another_chain_is_not_signed_for",),
    ),
    TestedRoot(
        name="any-runtime-is-signed-for",
        kind="S11",
        summary="the runtime that a node reports is not compared",
        edits=(
            Edit(
                f"{_DBCCHAIN}/chain_pins.py",
                "if identity.spec_version not in KNOWN_RUNTIMES and",
                "if identity.spec_version < 0 and",
            ),
        ),
        tests=(
            f"{_NODE}::test_an_unknown_runtime_is_not_signed_for",
            f"{_NODE}::test_the_signature_itself_is_checked",
        ),
    ),
    TestedRoot(
        name="second-node-is-not-asked",
        kind="S11",
        summary="what the second node answers decides nothing",
        edits=(Edit(f"{_DBCCHAIN}/second_node.py", "    if mine != theirs:\n", "    if mine is None:\n"),),
        tests=(
            f"{_NODE}::test_prices_are_compared_with_the_second_node",
            f"{_NODE}::test_a_machine_is_compared_with_the_second_node",
            f"{_NODE}::test_the_stake_is_compared_before_the_order_is_confirmed",
            f"{_NODE}::test_a_fork_is_noticed_by_the_second_node",
        ),
    ),
    TestedRoot(
        name="chain-of-hashes-not-checked",
        kind="S13",
        summary="the hash chain of the ledger is not checked",
        edits=(
            Edit("core/gpurent/infra/sqlite/ledger_chain_rows.py", "if chain != stored:", "if not stored:"),
        ),
        tests=(
            f"{_REWRITTEN}::test_an_altered_amount",
            f"{_REWRITTEN}::test_a_removed_posting",
            f"{_REWRITTEN}::test_exchanged_entries",
        ),
    ),
    TestedRoot(
        name="heads-not-compared",
        kind="S13",
        summary="the newest entries of the ledger are not compared with the record outside",
        edits=(
            Edit(
                "core/gpurent/workflow/payments/ledger_heads.py",
                "return [head for head in recorded if head not in known and not await self._has_entry(head)]",
                "return [head for head in recorded if not known and not await self._has_entry(head) and not head.link]",
            ),
        ),
        tests=(
            f"{_REWRITTEN}::test_a_shorter_ledger",
            f"{_REWRITTEN}::test_an_emptied_ledger",
            f"{_REWRITTEN}::test_a_chain_that_was_computed_anew",
        ),
    ),
)
