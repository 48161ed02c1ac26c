"""Reading files without PyTorch: real ones and hostile ones."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from gpurent.api import UsageError
from gpurent.cli.context import CliContext
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent_plugin_torch.checkpoint_reader import CheckpointRefused, TensorInfo, read_checkpoint
from gpurent_plugin_torch.commands import checkpoint_command, helper_command

SAVED = Path(__file__).with_name("saved")


def write_checkpoint(path: Path, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
    return path


def run_show(file: Path, *more: str) -> Any:
    app = CliContext(registry=EntryPointRegistry.load())
    done = CliRunner().invoke(checkpoint_command, ["show", str(file), *more], obj=app)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_a_bare_net() -> None:
    found = read_checkpoint(SAVED / "bare.pt")
    assert found["0.weight"] == TensorInfo(shape=(2, 3), dtype="float32", size=24)
    assert found["1.num_batches_tracked"] == TensorInfo(shape=(), dtype="int64", size=8)


def test_the_format_of_2020() -> None:
    assert {
        f"module.{name}": tensor for name, tensor in read_checkpoint(SAVED / "bare.pt").items()
    } == read_checkpoint(SAVED / "legacy.pt")


def test_r2_show_says_that_it_is_wrapped_and_what_to_do() -> None:
    text = run_show(SAVED / "nested.pt")
    assert "module.0.weight" in text
    assert "2x3" in text
    assert "gpurent checkpoint unwrap" in text
    assert "under: model" in text
    assert "epoch" in text
    data = json.loads(run_show(SAVED / "nested.pt", "--json"))["data"]
    assert (data["key_path"], data["prefix"]) == (["model"], "module.")
    assert data["others"] == ["epoch", "half", "optimizer"]
    assert len(data["tensors"]) == 7
    assert "module." not in run_show(SAVED / "bare.pt")


class HostilePickle:
    """Pickles as a name that a hostile file may contain."""

    def __init__(self, function: Callable[..., Any], *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_r2_hostile_pickles_are_refused_and_run_nothing(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "owned"
    shell = HostilePickle(os.system, f"touch {mark}")
    for hostile in (
        shell,
        HostilePickle(eval, "1"),
        HostilePickle(getattr, "a", "upper"),
        HostilePickle(pickle.loads, b""),
    ):
        data = pickle.dumps({"module.a": hostile}, protocol=protocol)
        with pytest.raises(CheckpointRefused):
            read_checkpoint(write_checkpoint(tmp_path / "evil.pt", data))
        with pytest.raises(UsageError, match="cannot show"):
            run_show(tmp_path / "evil.pt")
    assert not mark.exists()


def test_odd_instances_and_bombs(tmp_path: Path) -> None:
    # An OrderedDict whose instance attribute `items` is a string (opcode b, BUILD).
    data = b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsX\x01\x00\x00\x00xsb."
    pickletools.dis(data, io.StringIO())
    assert read_checkpoint(write_checkpoint(tmp_path / "odd.pt", data)) == {}
    with pytest.raises(UsageError, match="no tensors"):
        run_show(tmp_path / "odd.pt")
    deep: Any = {}
    for _level in range(50):
        deep = {"a": deep}
    with pytest.raises(CheckpointRefused, match="deep"):
        read_checkpoint(write_checkpoint(tmp_path / "deep.pt", pickle.dumps(deep, 2)))
    wide: Any = 1
    for _level in range(7):
        wide = {str(number): wide for number in range(30)}
    with pytest.raises(CheckpointRefused, match="large"):
        read_checkpoint(write_checkpoint(tmp_path / "wide.pt", pickle.dumps(wide, 2)))
    # A list of 100,000 values turned into a tuple many times.
    size = b"\x80\x02(" + b"K\x01" * 100_000 + b"lq\x00ctorch\nSize\nq\x01" + b"h\x01h\x00\x85R" * 1000 + b"."
    with pytest.raises(CheckpointRefused, match="too many"):
        read_checkpoint(write_checkpoint(tmp_path / "size.pt", size))
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(CheckpointRefused, match="not a PyTorch file"):
        read_checkpoint(tmp_path / "text.pt")


def test_broken_files_never_end_in_another_error(tmp_path: Path) -> None:
    random = Random(3)
    with zipfile.ZipFile(SAVED / "nested.pt") as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("data.pkl")]
        good = archive.read(name)
    for _round in range(300):
        data = bytearray(good)
        for _flip in range(random.randrange(1, 4)):
            data[random.randrange(len(data))] = random.randrange(256)
        try:
            found = read_checkpoint(write_checkpoint(tmp_path / "broken.pt", bytes(data)))
        except CheckpointRefused:
            continue
        assert found is not None or found is None


def test_the_helper_is_put_beside_the_script_once(tmp_path: Path) -> None:
    app = CliContext(registry=EntryPointRegistry.load())
    for _time in range(2):
        done = CliRunner().invoke(helper_command, [str(tmp_path)], obj=app)
        assert done.exit_code == 0, done.output
    own_file = tmp_path / "gpurent_torch.py"
    assert "def parallelize" in own_file.read_text()
    own_file.write_text("# my own")
    done = CliRunner().invoke(helper_command, [str(tmp_path)], obj=app)
    assert isinstance(done.exception, UsageError)
    assert own_file.read_text() == "# my own"
