"""Row R2 by names alone: how ``module.`` is handled does not need PyTorch."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict

import pytest
from attrs import frozen

from gpurent_plugin_torch import gpurent_torch
from gpurent_plugin_torch.gpurent_torch import (
    find_prefix,
    find_weights,
    match_names,
    replace_weights,
    unwrap_names,
    wrap_names,
)


@frozen
class FakeTensor:
    """The parts of a tensor that these functions use."""

    shape: tuple[int, ...] = (1,)
    dtype: str = "float32"


A, B = FakeTensor((1,)), FakeTensor((2,))
BARE = {"conv.weight": A, "fc.bias": B}
WRAPPED = {"module.conv.weight": A, "module.fc.bias": B}


def test_r2_names_survive_unwrapping_and_wrapping() -> None:
    assert wrap_names(BARE) == WRAPPED
    assert unwrap_names(WRAPPED) == BARE
    assert unwrap_names(BARE) == BARE
    assert unwrap_names({}) == {}
    assert unwrap_names({**WRAPPED, "fc.bias": B}) == {**WRAPPED, "fc.bias": B}, (
        "not all of one wrapper: nothing is guessed"
    )
    assert list(unwrap_names(OrderedDict(WRAPPED))) == list(BARE), "the order stays"


COMPILED = wrap_names(BARE, "_orig_mod.")


@pytest.mark.parametrize("state", [BARE, WRAPPED, wrap_names(WRAPPED), COMPILED, wrap_names(COMPILED)])
def test_r2_every_form_fits_the_bare_net(state: dict[str, FakeTensor]) -> None:
    assert match_names(state, BARE) == BARE


def test_r2_a_net_with_a_part_called_module() -> None:
    own = {"module.weight": A}
    assert match_names(own, own) == own, "not every module. is a wrapper's"
    assert match_names(wrap_names(own), own) == own
    assert match_names({"weight": A}, own) == {"weight": A}, (
        "a foreign one is left for PyTorch to complain about"
    )


def test_the_parts_versions_go_with_the_names() -> None:
    state = OrderedDict(WRAPPED)
    state._metadata = {"": {"version": 1}, "module": {"version": 2}, "module.conv": {"version": 3}}  # type: ignore[attr-defined]
    bare = unwrap_names(state)
    assert bare._metadata == {"": {"version": 2}, "conv": {"version": 3}}  # type: ignore[attr-defined]
    assert wrap_names(bare)._metadata == {"module": {"version": 2}, "module.conv": {"version": 3}}  # type: ignore[attr-defined]


def test_r2_weights_are_found_in_nested_checkpoints() -> None:
    assert find_weights(WRAPPED) == ((), WRAPPED)
    nested = {"epoch": 3, "model": {"state_dict": WRAPPED, "note": "x"}}
    prefix, state = find_weights(nested)
    assert (prefix, state) == (("model", "state_dict"), WRAPPED)
    assert replace_weights(nested, prefix, BARE) == {"epoch": 3, "model": {"state_dict": BARE, "note": "x"}}
    assert nested["model"]["state_dict"] is WRAPPED, "the old one is not touched"  # type: ignore[index]
    assert find_weights({"model": A}) == ((), {"model": A}), "a part that is called model"
    for nothing in ({}, {"epoch": 3}, [A], None, {"model": {"model": {"model": {"model": BARE}}}}):
        with pytest.raises(ValueError, match="no weights"):
            find_weights(nothing)


def test_prefix_of() -> None:
    assert find_prefix(WRAPPED) == "module."
    assert find_prefix(BARE) == find_prefix([]) == ""


def test_the_helper_file_needs_no_other_module() -> None:
    """It is copied beside the user's script, so importing it must need neither gpurent nor PyTorch."""
    text = f"exec(open({gpurent_torch.__file__!r}).read(), {{'__name__': 'alone'}})"
    code = f"{text}; import sys; print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert "torch" not in done.stdout
    assert "gpurent" not in done.stdout


def test_nothing_of_the_plugin_imports_torch() -> None:
    code = (
        "import sys, gpurent_plugin_torch.plugin as p, gpurent_plugin_torch.commands, gpurent_plugin_torch.launcher, "
        "gpurent_plugin_torch.checkpoint_reader\n"
        "assert p.gpurent_register_launcher() and p.gpurent_register_command()\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
