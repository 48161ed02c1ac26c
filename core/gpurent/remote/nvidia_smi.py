"""NVIDIA GPUs: the ``nvidia-smi`` commands, and the parsers of their output.

A full report has three formats: XML has the most details; CSV fails as a whole on drivers that lack one of its fields;
the human-readable table is the fallback. The output of a rented machine is untrusted: entities are rejected, lengths
and counts are limited, and no parser raises an error.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from gpurent.domain.machine_facts import Gpu

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_GPUS = 64
CSV_FIELDS = (
    "name",
    "driver_version",
    "memory.total",
    "memory.used",
    "utilization.gpu",
    "ecc.errors.uncorrected.volatile.total",
)
XML_QUERY = "nvidia-smi -q -x"
TABLE_QUERY = "nvidia-smi"
CSV_QUERY = f"nvidia-smi --format=csv --query-gpu={','.join(CSV_FIELDS)}"
# One line per GPU: its load in percent; and its driver, memory and name, as in `CARD_PATTERN`.
LOAD_QUERY = "nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null"
CARD_QUERY = (
    "nvidia-smi --query-gpu=driver_version,memory.total,name --format=csv,noheader,nounits 2>/dev/null"
)
CARD_PATTERN = r"(\d{1,4}(?:\.\d{1,6}){1,3}), *(\d{1,9}), *([A-Za-z0-9][A-Za-z0-9 ./()+-]{0,59})"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ./()+_-]{0,79}", re.ASCII)
_VERSION = re.compile(r"\d{1,4}(?:\.\d{1,6}){1,3}", re.ASCII)
_LOST_GPU = re.compile(r"ERR!|GPU is lost|Unknown Error|GPU requires reset|Reset Required", re.IGNORECASE)
# The banner line; then, for every GPU, one line with its name and one with its memory.
# Branch 590 renamed the driver's version to that of its kernel module (KMD).
_BANNER = re.compile(
    r"(?:Driver|KMD) Version:\s*(\d[\d.]*)(?:\s+CUDA (?:UMD )?Version:\s*(\d[\d.]*))?", re.ASCII
)
_CARD_ROW = re.compile(r"\|\s+\d+\s+(\S.*?)\s+(?:On|Off|N/A|ERR!)\s*\|\s*[0-9A-Fa-f]{4,8}:", re.ASCII)
_USAGE_ROW = re.compile(r"(\d+)MiB\s*/\s*(\d+)MiB\s*\|\s*(?:(\d+)%|\S+)", re.ASCII)
_PROCESS_ROW = re.compile(r"\|\s+\d+\s+(?:\S+\s+\S+\s+)?(\d+)\s+[CGM+]+\s+(\S.*?)\s+\d+MiB\s*\|", re.ASCII)


@frozen(kw_only=True)
class GpuReport:
    """The report of the driver's tool. ``cuda`` is the newest version that the driver supports."""

    driver: str = ""
    cuda: str = ""
    gpus: tuple[Gpu, ...] = ()


def parse_loads(text: str) -> list[int]:
    """Parse the output of `LOAD_QUERY`: percent for each GPU that reports its load."""
    return [int(word) for word in text.split() if re.fullmatch(r"\d{1,3}", word, re.ASCII)]


def parse_report(xml: str, csv_text: str, table: str) -> GpuReport:
    """Return the best of the three reports; empty if none can be parsed."""
    by_table = parse_table(table)
    forms = [parse_xml(xml), parse_csv(csv_text), by_table]
    best = next((form for form in forms if form and form.gpus), next(filter(None, forms), GpuReport()))
    if by_table is None:
        return best
    return evolve(best, driver=best.driver or by_table.driver, cuda=best.cuda or by_table.cuda)


def parse_xml(text: str) -> GpuReport | None:
    """Parse the output of `XML_QUERY` of any driver since 2018; None if it is something else."""
    root = parse_root(text)
    if root is None:
        return None
    gpus = tuple(_parse_gpu(node) for node in root.findall("gpu")[:MAX_GPUS])
    return GpuReport(
        driver=_parse_version(root.findtext("driver_version")),
        cuda=_parse_version(root.findtext("cuda_version")),
        gpus=gpus,
    )


def parse_root(text: str) -> Element | None:
    """Return the root of the output of `XML_QUERY`; None if it is something else, or declares entities."""
    begin = text.find("<nvidia_smi_log")
    end = text.find("</nvidia_smi_log>")
    if begin < 0 or end < begin:
        return None
    # Cutting off the DOCTYPE before it leaves nothing that could declare an entity.
    body = text[begin : end + len("</nvidia_smi_log>")]
    if "<!" in body:
        return None
    from xml.etree import ElementTree as ET

    try:
        return ET.fromstring(body)  # noqa: S314 - declarations are refused above
    except ET.ParseError:
        return None


def _parse_gpu(node: Element) -> Gpu:
    memory, used = (_parse_number(node.findtext(f"fb_memory_usage/{part}")) for part in ("total", "used"))
    texts = [
        node.findtext(path) or ""
        for path in ("product_name", "fb_memory_usage/total", "fan_speed", "uuid", "gpu_recovery_action")
    ]
    return Gpu(
        name=parse_name(node.findtext("product_name")),
        memory=memory,
        used=used,
        utilization=_parse_number(node.findtext("utilization/gpu_util")),
        mig=(node.findtext("mig_mode/current_mig") or "").strip() == "Enabled",
        broken=any(map(_LOST_GPU.search, texts)) or _needs_reset(node),
        ecc=_count_uncorrected_errors(node),
        retiring=_is_retiring(node),
        processes=tuple(
            _format_process(info.findtext("pid"), info.findtext("process_name"))
            for info in node.findall("processes/process_info")[:MAX_GPUS]
        ),
    )


def _needs_reset(node: Element) -> bool:
    """Return whether the driver wants the GPU reset, the bus reset or the computer rebooted before further use.

    Branches 530 to 560 say so in ``gpu_reset_status``, later ones in ``gpu_recovery_action``: None, Reset, Reboot,
    Drain P2P (which does not hinder work on this GPU), Drain and Reset.
    """
    action = (node.findtext("gpu_recovery_action") or "").strip()
    return bool(re.search(r"\bRe(?:set|boot)\b", action)) or (
        (node.findtext("gpu_reset_status/reset_required") or "").strip() == "Yes"
    )


def _count_uncorrected_errors(node: Element) -> int:
    """Return the uncorrectable memory errors since the driver was loaded; the XML structure changed with Ampere."""
    volatile = "ecc_errors/volatile"
    old = _parse_number(node.findtext(f"{volatile}/double_bit/total"))
    if old is not None:
        return old
    names = (
        "sram_uncorrectable",
        "dram_uncorrectable",
        "sram_uncorrectable_parity",
        "sram_uncorrectable_secded",
    )
    return sum(_parse_number(node.findtext(f"{volatile}/{name}")) or 0 for name in names)


def _is_retiring(node: Element) -> bool:
    """Return whether rows or pages are pending retirement until the GPU is reset."""
    paths = (
        "retired_pages/pending_retirement",
        "retired_pages/pending_blacklist",
        "remapped_rows/remapped_row_pending",
        "remapped_rows/remapped_row_failure",
    )
    return any((node.findtext(path) or "").strip() == "Yes" for path in paths)


def parse_csv(text: str) -> GpuReport | None:
    """Parse the output of `CSV_QUERY`; None if its header is not the requested one."""
    rows = [row for row in csv.reader(text.splitlines()[: MAX_GPUS + 1], skipinitialspace=True) if row]
    if not rows or [cell.partition(" [")[0].strip() for cell in rows[0]] != list(CSV_FIELDS):
        return None
    cards = [
        dict(zip(CSV_FIELDS, (cell.strip() for cell in row), strict=True))
        for row in rows[1:]
        if len(row) == len(CSV_FIELDS)
    ]
    driver = next((_parse_version(card.get("driver_version")) for card in cards), "")
    return GpuReport(driver=driver, gpus=tuple(_parse_csv_row(card) for card in cards))


def _parse_csv_row(card: Mapping[str, str]) -> Gpu:
    return Gpu(
        name=parse_name(card.get("name")),
        memory=_parse_number(card.get("memory.total")),
        used=_parse_number(card.get("memory.used")),
        utilization=_parse_number(card.get("utilization.gpu")),
        broken=any(_LOST_GPU.search(value) for value in card.values()),
        ecc=_parse_number(card.get("ecc.errors.uncorrected.volatile.total")) or 0,
    )


def parse_table(text: str) -> GpuReport | None:
    """Parse the output of `TABLE_QUERY`, in which GPU names may be truncated; None if its banner is missing."""
    banner = _BANNER.search(text)
    if banner is None:
        return None
    lines = text.splitlines()[: 20 * MAX_GPUS]
    gpus: list[Gpu] = []
    for number, line in enumerate(lines):
        if card := _CARD_ROW.match(line):
            follow = lines[number + 1] if number + 1 < len(lines) else ""
            gpus.append(_parse_table_rows(card[1], line, follow))
    holders = [_format_process(found[1], found[2]) for line in lines if (found := _PROCESS_ROW.match(line))]
    if gpus and holders:
        # The table gives GPU numbers; which GPU a process uses does not matter for the verdict.
        gpus[0] = evolve(gpus[0], processes=tuple(holders[:MAX_GPUS]))
    return GpuReport(
        driver=_parse_version(banner[1]), cuda=_parse_version(banner[2]), gpus=tuple(gpus[:MAX_GPUS])
    )


def _parse_table_rows(name: str, line: str, follow: str) -> Gpu:
    use = _USAGE_ROW.search(follow)
    return Gpu(
        name=parse_name(name.removesuffix("...").strip()),
        memory=_parse_number(use[2]) if use else None,
        used=_parse_number(use[1]) if use else None,
        utilization=_parse_number(use[3]) if use else None,
        broken=bool(_LOST_GPU.search(line) or _LOST_GPU.search(follow)),
    )


def _format_process(pid: str | None, name: str | None) -> str:
    """Return "1234 python": pid and name without folder and arguments."""
    words = (name or "").strip().split()
    short = words[0].rpartition("/")[2][:40] if words else "?"
    number = (pid or "").strip()
    shown = number if number.isascii() and number.isdecimal() and len(number) < 12 else "?"
    return f"{shown} {short if short.isascii() and short.isprintable() else '?'}"


def _parse_number(text: str | None) -> int | None:
    """Return the integer before a unit; None for "N/A", "[Not Supported]" and the like."""
    found = re.fullmatch(r"(\d{1,9})(?:\s*(?:MiB|%))?", (text or "").strip(), re.ASCII)
    return int(found[1]) if found else None


def _parse_version(text: str | None) -> str:
    found = (text or "").strip()
    return found if _VERSION.fullmatch(found) else ""


def parse_name(text: str | None) -> str:
    found = (text or "").strip()
    return found if _NAME.fullmatch(found) else "?"
