"""One whole trip by the command line, with real SSH. It needs gpurent-plugin-tmux and gpurent-plugin-sftp."""

from pathlib import Path

import pytest
from gpurent.api import USD
from gpurent.testing.shared_sandbox import shared_sandbox

from gpurent_plugin_tern.simulator.service import TernSimulator


@pytest.mark.nightly
def test_the_receipt_of_a_trip_is_what_the_ledger_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("open('out.txt', 'w').write('done')\n")
    monkeypatch.chdir(project)
    with shared_sandbox(tmp_path / "sandbox", speed=60) as sandbox:
        user = sandbox.user(tmp_path / "home")
        simulator = sandbox.simulator("tern", TernSimulator)
        sandbox.run_in_loop(simulator.add_money(sandbox.log_in(user, "tern")))
        done = user.run("-y", "run", "-p", "tern", "--results", "out.txt", "--", "train.py")
        assert done.code == 0, done.out + done.err
        assert (project / "out.txt").read_text() == "done"
        assert simulator.list_billed_machines() == []
        (total,) = user.run("receipts", "--json").data[0]["totals"]
        lost = sum(line.amount.amount for line in simulator.list_ledger_entries() if line.kind == "usage")
        assert USD.money(total["spent"]["amount"]).amount == -lost
        assert user.run("reconcile").code == 0
