"""Train on however many GPUs there are, and save weights that load anywhere. One file: copy it beside your script.

    from gpurent_torch import device, load, parallelize, sampler, save

    net = parallelize(Net())            # DistributedDataParallel under torchrun, DataParallel, or the net itself
    save(net, "weights.pt", epoch=3)    # always without "module.", by one process, whole or not at all
    load(net, "weights.pt")             # with or without "module.", into a wrapped net or a bare one

Needs PyTorch (1.13 or later to load safely) and Python 3.7, nothing of gpurent. As a program it describes a file or
renames its weights: python gpurent_torch.py show|unwrap|wrap FILE [-o NEW].
"""

import json
import os
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

# Prefixes that DataParallel and DistributedDataParallel, and torch.compile, add to every name.
WRAPPER_PREFIXES = ("module.", "_orig_mod.")
WEIGHT_KEYS = ("state_dict", "model_state_dict", "model", "net", "weights")


# ---- names only: this section does not need torch


def find_prefix(names: Iterable[str]) -> str:
    """Return the wrapper prefix that all ``names`` share; empty if there is none."""
    every = list(names)
    return next((p for p in WRAPPER_PREFIXES if every and all(name.startswith(p) for name in every)), "")


def unwrap_names(state: Mapping[str, Any]) -> Dict[str, Any]:
    """Return ``state`` without one wrapper prefix; unchanged if its names do not share one."""
    return _replace_prefix(state, find_prefix(state), "")


def wrap_names(state: Mapping[str, Any], prefix: str = WRAPPER_PREFIXES[0]) -> Dict[str, Any]:
    """Return ``state`` with ``prefix`` before every name."""
    return _replace_prefix(state, "", prefix)


def _replace_prefix(state: Mapping[str, Any], old: str, new: str) -> Dict[str, Any]:
    """Replace ``old`` by ``new`` at the start of all names, also in the module versions (PyTorch's ``_metadata``)."""
    made: Any = OrderedDict((new + name[len(old) :], value) for name, value in state.items())
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        parts = {part + "." if part else "": version for part, version in versions.items()}
        made._metadata = OrderedDict(
            ((new + part[len(old) :])[:-1], version)
            for part, version in parts.items()
            if part.startswith(old)
        )
    return made  # type: ignore[no-any-return]


def match_names(state: Mapping[str, Any], wanted: Iterable[str]) -> Dict[str, Any]:
    """Return ``state`` with the names of the unwrapped net, removing wrapper prefixes until they match ``wanted``.

    A net may have a submodule of its own called "module": the form with the most matches is used, the first if several.
    """
    names = set(wanted)
    best = now = _replace_prefix(state, "", "")
    while find_prefix(now):
        now = unwrap_names(now)
        if len(names & set(now)) > len(names & set(best)):
            best = now
    return best


def is_state_dict(value: Any) -> bool:
    """Return whether ``value`` is a state dict: names mapped to objects with a shape and a dtype."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) for name in value)
        and all(hasattr(part, "shape") and hasattr(part, "dtype") for part in value.values())
    )


def find_weights(checkpoint: Any, depth: int = 3) -> Tuple[Tuple[str, ...], Mapping[str, Any]]:
    """Return the path to the weights in ``checkpoint`` and the weights, e.g. of {"model": {"state_dict": …}}.

    Raises `ValueError` if there are none.
    """
    if is_state_dict(checkpoint):
        return (), checkpoint
    if isinstance(checkpoint, Mapping) and depth:
        for place in WEIGHT_KEYS:
            if place in checkpoint:
                try:
                    below, state = find_weights(checkpoint[place], depth - 1)
                except ValueError:
                    continue
                return (place, *below), state
    raise ValueError(
        f"the file contains no weights, neither at the top level nor under {', '.join(WEIGHT_KEYS)}"
    )


def replace_weights(checkpoint: Any, place: Tuple[str, ...], state: Mapping[str, Any]) -> Any:
    """Return a copy of ``checkpoint`` with ``state`` at ``place``; the rest is unchanged."""
    if not place:
        return state
    copy = dict(checkpoint)
    copy[place[0]] = replace_weights(checkpoint[place[0]], place[1:], state)
    return copy


# ---- processes: torchrun describes them in the environment


def rank() -> int:
    """Return the rank of this process; 0 if there is only one."""
    return int(os.environ.get("RANK") or 0)


def world_size() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def _local_rank() -> Optional[int]:
    number = os.environ.get("LOCAL_RANK")
    return int(number) if number else None


# ---- models and files


def device() -> Any:
    """Return this process's device: its own GPU under torchrun, otherwise the first GPU, or else the CPU."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", (_local_rank() or 0) % torch.cuda.device_count())


def parallelize(net: Any) -> Any:
    """Move ``net`` to its device and spread it over the available GPUs."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    net = net.to(device())
    if _local_rank() is not None:
        return _wrap_distributed(net, gpus)
    return torch.nn.DataParallel(net) if gpus > 1 else net


def _wrap_distributed(net: Any, gpus: int) -> Any:
    import torch
    import torch.distributed as dist

    if gpus:
        torch.cuda.set_device(device())
    if not dist.is_initialized():
        import atexit

        # With more processes than GPUs only gloo works.
        enough = gpus >= int(os.environ.get("LOCAL_WORLD_SIZE") or world_size())
        dist.init_process_group("nccl" if gpus and enough else "gloo")
        atexit.register(dist.destroy_process_group)
    if world_size() == 1 or not any(part.requires_grad for part in net.parameters()):
        return net
    return torch.nn.parallel.DistributedDataParallel(net, device_ids=[device().index] if gpus else None)


def sampler(dataset: Any, shuffle: bool = True, seed: int = 0) -> Any:
    """Return a sampler for ``DataLoader(dataset, batch, sampler=…)`` that gives every process its part of ``dataset``.

    Under torchrun call its ``set_epoch(epoch)``, or every epoch has the same order; otherwise the call does nothing.
    """
    import torch
    from torch.utils.data import RandomSampler, SequentialSampler
    from torch.utils.data.distributed import DistributedSampler

    if world_size() > 1:
        return DistributedSampler(dataset, num_replicas=world_size(), rank=rank(), shuffle=shuffle, seed=seed)
    if not shuffle:
        made = SequentialSampler(dataset)
    else:
        made = RandomSampler(dataset, generator=torch.Generator().manual_seed(seed))
    made.set_epoch = lambda epoch: None
    return made


def unwrap_model(net: Any) -> Any:
    """Return the net inside all wrappers."""
    import torch

    wrappers = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    while isinstance(net, wrappers) or hasattr(net, "_orig_mod"):
        net = net.module if isinstance(net, wrappers) else net._orig_mod
    return net


def save(net: Any, path: Any, **more: Any) -> bool:
    """Write the unwrapped net's weights to ``path``; with ``more``, as {"model": weights, **more}.

    Only rank 0 writes and returns True; call it in every process or in rank 0 alone. The file is replaced atomically:
    if the server shuts down meanwhile, the old file remains.
    """
    if rank():
        return False
    state = unwrap_model(net).state_dict()
    _write_checkpoint(dict(more, model=state) if more else state, path)
    return True


def load(net: Any, path: Any, weights_only: bool = True) -> Any:
    """Load ``net`` from ``path``, whether or not either is wrapped; return the whole checkpoint (epoch and so on).

    Missing or unexpected names are a `RuntimeError` of PyTorch. A file with anything but weights and plain values is
    refused (`pickle.UnpicklingError`), because a file from someone else could run any code. Use ``weights_only=False``
    for your own files.
    """
    checkpoint = _read_checkpoint(path, weights_only)
    inner = unwrap_model(net)
    inner.load_state_dict(match_names(find_weights(checkpoint)[1], inner.state_dict()))
    return checkpoint


def _read_checkpoint(path: Any, weights_only: bool = True) -> Any:
    import inspect

    import torch

    if "weights_only" in inspect.signature(torch.load).parameters:
        return torch.load(path, map_location="cpu", weights_only=weights_only)
    if weights_only:
        raise RuntimeError(
            f"PyTorch {torch.__version__} cannot load files safely. Use 1.13 or later, or weights_only=False for a "
            "file that you trust."
        )
    return torch.load(path, map_location="cpu")


def _write_checkpoint(content: Any, path: Any) -> None:
    import torch

    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        if part.exists():
            part.unlink()
        raise


# ---- command line


def convert_file(path: str, target: str, wrapped: bool) -> Dict[str, Any]:
    """Write the weights of ``path`` to ``target``, wrapped or unwrapped; return a summary of the change."""
    checkpoint = _read_checkpoint(path)
    place, state = find_weights(checkpoint)
    prefix = find_prefix(state)
    if wrapped == bool(prefix):
        raise ValueError(f"the names already have a prefix: {prefix}" if wrapped else "no name has a prefix")
    new = wrap_names(state) if wrapped else unwrap_names(state)
    _write_checkpoint(replace_weights(checkpoint, place, new), target)
    return {"file": target, "tensors": len(new), "prefix": find_prefix(new), "key_path": list(place)}


def describe_file(path: str) -> Dict[str, Any]:
    """Return names, shapes, dtypes and sizes of the weights in ``path``."""
    checkpoint = _read_checkpoint(path)
    place, state = find_weights(checkpoint)
    tensors: List[Dict[str, Any]] = [
        {
            "name": name,
            "shape": list(part.shape),
            "dtype": str(part.dtype).replace("torch.", ""),
            "bytes": part.nelement() * part.element_size(),
        }
        for name, part in state.items()
    ]
    others = sorted(str(name) for name in checkpoint if name != place[0]) if place else []
    return {
        "file": path,
        "key_path": list(place),
        "prefix": find_prefix(state),
        "tensors": tensors,
        "others": others,
    }


def main(arguments: List[str]) -> int:
    """Run ``show|unwrap|wrap FILE [-o NEW]`` and print one JSON document."""
    usage = "usage: gpurent_torch.py show|unwrap|wrap FILE [-o NEW]\n"
    if len(arguments) not in (2, 4) or arguments[0] not in ("show", "unwrap", "wrap"):
        sys.stderr.write(usage)
        return 2
    what, path = arguments[:2]
    target = arguments[3] if len(arguments) == 4 else path
    try:
        found = describe_file(path) if what == "show" else convert_file(path, target, what == "wrap")
    except Exception as error:  # noqa: BLE001 - a program says what went wrong in one line
        first = str(error).split("\n")[0]
        sys.stderr.write(f"{type(error).__name__}: {first[:300]}\n")
        return 1
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
