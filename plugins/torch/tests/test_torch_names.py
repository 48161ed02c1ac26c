"""Row R2 by names alone: no PyTorch is needed to say what becomes of ``module.``."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict

import pytest
from attrs import frozen

from gpurent_plugin_torch import gpurent_torch
from gpurent_plugin_torch.gpurent_torch import find_weights, fit, prefix_of, put_weights, unwrap, wrap


@frozen
class Part:
    """What makes a tensor for these functions."""

    shape: tuple[int, ...] = (1,)
    dtype: str = "float32"


A, B = Part((1,)), Part((2,))
BARE = {"conv.weight": A, "fc.bias": B}
WRAPPED = {"module.conv.weight": A, "module.fc.bias": B}


def test_r2_there_and_back() -> None:
    assert wrap(BARE) == WRAPPED
    assert unwrap(WRAPPED) == BARE
    assert unwrap(BARE) == BARE
    assert unwrap({}) == {}
    assert unwrap({**WRAPPED, "fc.bias": B}) == {**WRAPPED, "fc.bias": B}, (
        "not all of one wrapper: nothing is guessed"
    )
    assert list(unwrap(OrderedDict(WRAPPED))) == list(BARE), "the order stays"


COMPILED = wrap(BARE, "_orig_mod.")


@pytest.mark.parametrize("state", [BARE, WRAPPED, wrap(WRAPPED), COMPILED, wrap(COMPILED)])
def test_r2_every_form_fits_the_bare_net(state: dict[str, Part]) -> None:
    assert fit(state, BARE) == BARE


def test_r2_a_net_with_a_part_called_module() -> None:
    own = {"module.weight": A}
    assert fit(own, own) == own, "not every module. is a wrapper's"
    assert fit(wrap(own), own) == own
    assert fit({"weight": A}, own) == {"weight": A}, "a foreign one is left for PyTorch to complain about"


def test_the_parts_versions_go_with_the_names() -> None:
    state = OrderedDict(WRAPPED)
    state._metadata = {"": {"version": 1}, "module": {"version": 2}, "module.conv": {"version": 3}}  # type: ignore[attr-defined]
    bare = unwrap(state)
    assert bare._metadata == {"": {"version": 2}, "conv": {"version": 3}}  # type: ignore[attr-defined]
    assert wrap(bare)._metadata == {"module": {"version": 2}, "module.conv": {"version": 3}}  # type: ignore[attr-defined]


def test_r2_weights_are_found_in_nested_checkpoints() -> None:
    assert find_weights(WRAPPED) == ((), WRAPPED)
    nested = {"epoch": 3, "model": {"state_dict": WRAPPED, "note": "x"}}
    place, state = find_weights(nested)
    assert (place, state) == (("model", "state_dict"), WRAPPED)
    assert put_weights(nested, place, BARE) == {"epoch": 3, "model": {"state_dict": BARE, "note": "x"}}
    assert nested["model"]["state_dict"] is WRAPPED, "the old one is not touched"  # type: ignore[index]
    assert find_weights({"model": A}) == ((), {"model": A}), "a part that is called model"
    for nothing in ({}, {"epoch": 3}, [A], None, {"model": {"model": {"model": {"model": BARE}}}}):
        with pytest.raises(ValueError, match="no weights"):
            find_weights(nothing)


def test_prefix_of() -> None:
    assert prefix_of(WRAPPED) == "module."
    assert prefix_of(BARE) == prefix_of([]) == ""


def test_the_file_stands_alone() -> None:
    """It is copied beside the user's script: neither gpurent nor PyTorch may be needed to import it."""
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
        "gpurent_plugin_torch.reader; assert p.gpurent_register_launcher() and p.gpurent_register_command(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
