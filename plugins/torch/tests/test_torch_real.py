"""Row R2 with real PyTorch on the CPU: real processes over gloo, real files, real refusals.

Without PyTorch these are skipped; `make test-torch` installs it and runs them. Each runs as a script of its own, like
a user's.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from gpurent.api import MachineProfile, UsageError
from gpurent.cli.context import CliContext
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.testing.load_timeouts import load_factor
from gpurent_plugin_torch import gpurent_torch
from gpurent_plugin_torch.checkpoint_reader import read_checkpoint
from gpurent_plugin_torch.commands import checkpoint_command
from gpurent_plugin_torch.launcher import TorchrunLauncher

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("torch") is None, reason="PyTorch is not installed here: make test-torch brings it"
    ),
]
HELPER = Path(gpurent_torch.__file__)
SAVED = Path(__file__).with_name("saved")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "MASTER_ADDR": "127.0.0.1"}

# The net and the data are the same in every process; the mean of both halves' gradients is that of the whole batch.
TRAIN = """
import json, sys
import torch
from torch.utils.data import DataLoader, TensorDataset
from gpurent_torch import unwrap_model, device, load, parallelize, rank, sampler, save, world_size

torch.manual_seed(7)
net = parallelize(torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)))
x = torch.randn(64, 6)
data = TensorDataset(x, x.sum(1, keepdim=True).sin())
order = sampler(data, shuffle=False)
batches = DataLoader(data, 16 // world_size(), sampler=order)
optimizer = torch.optim.SGD(net.parameters(), 0.05)
for epoch in range(5):
    order.set_epoch(epoch)
    for given, wanted in batches:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(net(given.to(device())), wanted.to(device())).backward()
        optimizer.step()
with torch.no_grad():
    loss = torch.nn.functional.mse_loss(net(data.tensors[0]), data.tensors[1]).item()
wrote = save(net, "weights.pt", epoch=epoch, loss=loss)
kind = type(net).__name__
print(json.dumps({"rank": rank(), "world_size": world_size(), "kind": kind, "loss": loss, "wrote": wrote}), flush=True)
"""

# Every form of net with every form of file.
COMBINATIONS = """
import itertools, torch
from gpurent_torch import load, save
def made(seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
def wrapped(net):
    return torch.nn.DataParallel(net)
source = made(1)
state = source.state_dict()
once = wrapped(source).state_dict()
files = {"unwrap_model": state, "wrapped": once, "nested": {"epoch": 2, "state_dict": once},
         "twice": wrapped(wrapped(source)).state_dict(), "compiled": torch.compile(source).state_dict()}
for name, content in files.items():
    torch.save(content, name + ".pt")
save(source, "ours.pt"); save(wrapped(source), "ours-wrapped.pt", epoch=4)
for name in [*files, "ours", "ours-wrapped"]:
    for wrap in (lambda net: net, wrapped):
        net = wrap(made(2))
        load(net, name + ".pt")
        inner = net.module if hasattr(net, "module") else net
        assert all(torch.equal(value, state[key]) for key, value in inner.state_dict().items()), name
assert all(not key.startswith("module.") for key in torch.load("ours-wrapped.pt", weights_only=True)["model"])
assert load(made(3), "nested.pt")["epoch"] == 2
try:
    load(torch.nn.Linear(9, 9), "unwrap_model.pt")
except RuntimeError as error:
    assert "Missing key" in str(error)
else:
    raise SystemExit("foreign weights were taken")
print("all fit")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / HELPER.name).write_text(HELPER.read_text())
    return tmp_path


def run_in_folder(
    folder: Path, *command: str, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), **ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=check,
        timeout=110 * load_factor(),
    )


def test_r2_two_processes_learn_what_one_learns(folder: Path) -> None:
    """Two processes over gloo, by real torchrun through the launcher; each gets half the batch, with the same loss."""
    (folder / "train.py").write_text(TRAIN)
    alone = json.loads(run_in_folder(folder, sys.executable, "train.py").stdout)
    assert (alone["world_size"], alone["kind"], alone["wrote"]) == (1, "Sequential", True)
    weights = read_checkpoint(folder / "weights.pt")
    line = TorchrunLauncher().launch_command(("train.py",), MachineProfile(user="x", python=sys.executable))
    done = run_in_folder(folder, "sh", "-c", line, GPURENT_NPROC="2")
    both = [json.loads(row) for row in done.stdout.splitlines() if row.startswith("{")]
    assert sorted(row["rank"] for row in both) == [0, 1], done.stderr
    assert all(row["kind"] == "DistributedDataParallel" and row["world_size"] == 2 for row in both)
    assert [row["wrote"] for row in sorted(both, key=lambda row: int(row["rank"]))] == [True, False]
    assert all(row["loss"] == pytest.approx(alone["loss"], rel=1e-4) for row in both)
    assert alone["loss"] < 0.6, "it learns"
    assert read_checkpoint(folder / "weights.pt")["model"] == weights["model"], (
        "the same names and shapes, without module."
    )
    assert "starting 2 processes with torchrun" in done.stderr


def test_r2_either_form_of_weights_loads_into_either_form_of_net(folder: Path) -> None:
    (folder / "all.py").write_text(COMBINATIONS)
    assert "all fit" in run_in_folder(folder, sys.executable, "all.py").stdout


def test_r2_a_hostile_file_is_refused_and_a_kill_leaves_the_old_one(folder: Path) -> None:
    code = """
import os, pickle, torch
from gpurent_torch import load, save
class Evil:
    def __reduce__(self):
        return os.system, ("touch owned",)
torch.save({"model": {"module.weight": Evil()}}, "evil.pt")
net = torch.nn.Linear(2, 1)
try:
    load(net, "evil.pt")
except pickle.UnpicklingError as error:
    print("refused")
save(net, "kept.pt")
before = open("kept.pt", "rb").read()
try:
    save(net, "kept.pt", lock=open("evil.pt", "rb"))
except TypeError:
    print("failed")
assert open("kept.pt", "rb").read() == before
assert sorted(n for n in os.listdir() if n.endswith(".part")) == []
"""
    (folder / "evil.py").write_text(code)
    assert run_in_folder(folder, sys.executable, "evil.py").stdout.split() == ["refused", "failed"]
    assert not (folder / "owned").exists()


def test_r2_the_command_unwraps_and_wraps(folder: Path) -> None:
    app = CliContext(registry=EntryPointRegistry.load())

    def call(*arguments: str) -> object:
        done = CliRunner().invoke(checkpoint_command, list(arguments), obj=app)
        if done.exception is not None:
            raise done.exception
        return json.loads(done.output)["data"]

    file, out = folder / "nested.pt", folder / "unwrap_model.pt"
    file.write_bytes((SAVED / "nested.pt").read_bytes())
    made = call("unwrap", str(file), "-o", str(out), "--json")
    assert made == {"file": str(out), "tensors": 7, "prefix": "", "key_path": ["model"]}
    before, after = read_checkpoint(file), read_checkpoint(out)
    assert {f"module.{name}": tensor for name, tensor in after["model"].items()} == before["model"]
    assert {key: value for key, value in after.items() if key != "model"} == {
        key: value for key, value in before.items() if key != "model"
    }, "all else stays"
    call("wrap", str(out), "--json")
    assert read_checkpoint(out) == before
    with pytest.raises(UsageError, match="already have a prefix"):
        call("wrap", str(out), "--json")
    (folder / "evil.pt").write_bytes(pickle.dumps({"a": os.system}))
    with pytest.raises(UsageError, match="was not changed"):
        call("unwrap", str(folder / "evil.pt"))


def test_the_file_is_a_program_too(folder: Path) -> None:
    report = json.loads(
        run_in_folder(folder, sys.executable, HELPER.name, "show", str(SAVED / "legacy.pt")).stdout
    )
    assert report["prefix"] == "module."
    assert {tensor["name"]: tensor["bytes"] for tensor in report["tensors"]}["module.0.weight"] == 24
    wrong = run_in_folder(
        folder,
        sys.executable,
        HELPER.name,
        "unwrap",
        str(SAVED / "unwrap_model.pt"),
        "-o",
        "x.pt",
        check=False,
    )
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("ValueError: no name has a prefix")
