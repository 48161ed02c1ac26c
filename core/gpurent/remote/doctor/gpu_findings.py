"""Findings on the driver, the GPUs, their memory, and other processes that use them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from gpurent.domain.health import Finding, Verdict
from gpurent.domain.machine_facts import Gpu
from gpurent.locale import _, join_clauses, join_list
from gpurent.remote.doctor.known_problems import find_known_problem
from gpurent.remote.nvidia_smi import GpuReport, parse_report
from gpurent.remote.shell import ProbeSection

_SMI_SECTIONS = ("smi-xml", "smi", "smi-csv")
BUSY_PERCENT = 20
USED_MIB = 1024


def read_gpu_report(sections: Mapping[str, ProbeSection]) -> GpuReport:
    """Return the best report of the driver's tool; empty if none can be parsed."""
    xml, table, csv = (sections[name].stdout if name in sections else "" for name in _SMI_SECTIONS)
    return parse_report(xml, csv, table)


def assess_gpus(
    sections: Mapping[str, ProbeSection], report: GpuReport, gpus: int, gpu: str, gpu_memory: int, tried: int
) -> Iterator[Finding]:
    """Yield the findings. ``gpus``, ``gpu`` and ``gpu_memory`` are what is paid for.

    The convolution succeeded on ``tried`` GPUs.
    """
    yield _assess_driver(sections, report, gpus, tried)
    yield from _assess_cards(report, gpus, gpu, gpu_memory, tried)
    if report.gpus:
        yield _assess_ecc(report.gpus)
        yield _assess_usage(report.gpus)


def _assess_driver(sections: Mapping[str, ProbeSection], report: GpuReport, gpus: int, tried: int) -> Finding:
    asked = [sections[name] for name in _SMI_SECTIONS if name in sections]
    if any(section.timed_out for section in asked):
        return Finding(
            check="driver", verdict=Verdict.FAILURE, cause="driver-hangs",
            text=_("the driver does not respond: nvidia-smi hangs"),
            advice=_("Restarting the machine may help if the provider supports it; otherwise release it."),
        )  # fmt: skip
    trouble = find_known_problem(
        "\n".join(f"{section.stdout}\n{section.stderr}" for section in asked if section.exit_status)
    )
    if trouble is not None and not report.gpus:
        return Finding(
            check="driver",
            verdict=Verdict.FAILURE if gpus else Verdict.WARNING,
            text=trouble.text,
            advice=trouble.do,
            cause=trouble.cause,
        )
    if report.driver:
        text = _("{driver}, supports CUDA up to {cuda}") if report.cuda else "{driver}"
        return Finding(
            check="driver", verdict=Verdict.OK, text=text.format(driver=report.driver, cuda=report.cuda)
        )
    if not asked:
        return _no_tool_finding(sections, tried)
    said = " ".join((asked[-1].stderr or asked[-1].stdout).split())[:120]
    return Finding(
        check="driver",
        verdict=Verdict.FAILURE if gpus else Verdict.WARNING,
        text=_("unrecognized output from nvidia-smi: {said}").format(
            said=said if said.isprintable() else "-"
        ),
        advice=_("Check manually: gpurent exec LEASE nvidia-smi"),
    )


def _no_tool_finding(sections: Mapping[str, ProbeSection], tried: int) -> Finding:
    nodes, bus = (_parse_count(sections, name) for name in ("nodes", "bus"))
    if tried or nodes:
        return Finding(
            check="driver",
            verdict=Verdict.UNCHECKED,
            text=_("nvidia-smi is missing, although a GPU is present"),
        )
    if bus:
        return Finding(
            check="driver", verdict=Verdict.WARNING, cause="driver-missing",
            text=_("an NVIDIA card is on the bus, but no driver was found"),
            advice=_("If this is a container, no GPU was assigned to it. Otherwise install a driver, or "
                 "use another image."),
        )  # fmt: skip
    return Finding(
        check="driver",
        verdict=Verdict.UNCHECKED,
        text=_("no NVIDIA driver on this machine"),
    )


def _parse_count(sections: Mapping[str, ProbeSection], name: str) -> int:
    said = sections[name].stdout if name in sections else ""
    return int(said) if re.fullmatch(r"\d{1,3}", said, re.ASCII) else 0


def _assess_cards(report: GpuReport, gpus: int, gpu: str, gpu_memory: int, tried: int) -> Iterator[Finding]:
    seen = max(len(report.gpus), tried)
    back = _("You are paying for more than you got: release the machine, or ask the provider.")
    if not seen:
        if gpus:
            yield Finding(
                check="gpu",
                verdict=Verdict.FAILURE,
                text=_("GPUs rented: {n}; found: {seen}").format(n=gpus, seen=0),
                advice=back,
                cause="gpu-missing",
            )
        else:
            yield Finding(
                check="gpu",
                verdict=Verdict.UNCHECKED,
                text=_("no GPU found, and none was rented"),
            )
        return
    if seen < gpus:
        yield Finding(
            check="gpu",
            verdict=Verdict.FAILURE,
            text=_("GPUs rented: {n}; found: {seen}").format(n=gpus, seen=seen),
            advice=back,
            cause="gpu-missing",
        )
    broken = [card.name for card in report.gpus if card.broken]
    if broken:
        yield Finding(
            check="gpu", verdict=Verdict.FAILURE, cause="gpu-lost",
            text=_("the driver has lost a GPU: {names}").format(names=join_list(broken)),
            advice=_("Only the machine's owner can fix this: release the machine, and rent another one."),
        )  # fmt: skip
    if seen >= gpus and not broken:
        yield _compare_with_offer(report.gpus, seen, gpu, gpu_memory)


def _compare_with_offer(cards: Sequence[Gpu], seen: int, gpu: str, gpu_memory: int) -> Finding:
    other = sorted(
        {card.name for card in cards if gpu and card.name != "?" and not is_same_gpu(gpu, card.name)}
    )
    if other:
        return Finding(
            check="gpu", verdict=Verdict.WARNING, cause="gpu-other",
            text=_("rented: {wanted}; found: {found}").format(wanted=gpu, found=join_list(other)),
            advice=_("Compare with the offer: gpurent show LEASE"),
        )  # fmt: skip
    small = [card for card in cards if card.memory and gpu_memory and card.memory < gpu_memory * 1024 * 0.85]
    if small and not any(card.mig for card in cards):
        return Finding(
            check="gpu", verdict=Verdict.WARNING, cause="gpu-small",
            text=_("GPU memory rented: {wanted} GiB; found: {found:.1f} GiB").format(
                wanted=gpu_memory, found=(small[0].memory or 0) / 1024
            ),
            advice=_("Compare with the offer: gpurent show LEASE"),
        )  # fmt: skip
    return Finding(
        check="gpu",
        verdict=Verdict.OK,
        text=join_clauses(map(_format_card, cards)) or _("{n} found").format(n=seen),
    )


def _format_card(card: Gpu) -> str:
    size = f", {card.memory / 1024:.1f} GiB" if card.memory else ""
    return card.name + size + (", MIG" if card.mig else "")


def is_same_gpu(ordered: str, seen: str) -> bool:
    """Return whether an offer's name ("2080Ti", "RTX 3090 24G") and the driver's ("GeForce RTX 2080 Ti") may match."""
    mine, theirs = _split_model_words(ordered), _split_model_words(seen)
    return not mine or bool(mine & theirs)


def _split_model_words(name: str) -> set[str]:
    """Return the words that distinguish models: 2080ti, v100, titan; memory sizes do not."""
    joined = re.sub(r"(\d)[ -]?(ti|super)\b", r"\1\2", name.lower())
    return {
        word
        for word in re.findall(r"[a-z0-9]+", joined)
        if word == "titan" or (re.search(r"\d", word) and not re.fullmatch(r"\d+gi?b?|sxm\d|\dx|x\d", word))
    }


def _assess_ecc(cards: Sequence[Gpu]) -> Finding:
    if errors := sum(card.ecc for card in cards):
        return Finding(
            check="ecc", verdict=Verdict.WARNING, cause="ecc-errors",
            text=_("uncorrectable memory errors since the driver was loaded: {n}").format(n=errors),
            advice=_("Results may be wrong, and jobs may fail. Consider renting another machine."),
        )  # fmt: skip
    if any(card.retiring for card in cards):
        return Finding(
            check="ecc", verdict=Verdict.WARNING, cause="ecc-retiring",
            text=_("faulty GPU memory is waiting to be retired"),
            advice=_("This takes a GPU reset by the machine's owner. Consider another machine for long jobs."),
        )  # fmt: skip
    return Finding(check="ecc", verdict=Verdict.OK, text=_("no memory errors reported"))


def _assess_usage(cards: Sequence[Gpu]) -> Finding:
    held = [card for card in cards if (card.used or 0) > USED_MIB or (card.utilization or 0) >= BUSY_PERCENT]
    if not held:
        return Finding(check="busy", verdict=Verdict.OK, text=_("nobody else is using the GPU"))
    who = join_list(sorted({name for card in held for name in card.processes})) or _("hidden processes")
    return Finding(
        check="busy", verdict=Verdict.WARNING, cause="gpu-busy",
        text=_("{used} of {memory} MiB in use, {busy} % busy: {who}").format(
            used=sum(card.used or 0 for card in held), memory=sum(card.memory or 0 for card in held),
            busy=max(card.utilization or 0 for card in held), who=who[:200],
        ),
        advice=_("If this is not your job, someone else is using the GPU: release the machine, or ask the"
             " provider."),
    )  # fmt: skip
