"""Faults of providers with volumes."""

from __future__ import annotations

from tests.testing.seeded.fault import VOLUMES, seed

VOLUME_FAULTS = (
    seed(
        "volumes",
        "created-again",
        "after a lost answer, another volume is created",
        "runpod",
        "test_lost_answers_create_one",
        (
            VOLUMES,
            "        found = await self._find_labelled(volume.label)\n        if found:\n",
            "        found: list[Volume] = []\n        if found:\n",
        ),
    ),
    seed(
        "volumes",
        "twin-kept",
        "a create that arrived twice leaves two volumes",
        "prime",
        "test_lost_answers_create_one",
        (VOLUMES, "if twin is not kept and not twin.users:", "if twin is not kept and twin.users:"),
    ),
    seed(
        "volumes",
        "sent-too-soon",
        "a list that lags is taken for proof that nothing was created",
        "prime",
        "test_a_list_that_lags_creates_no_second_one",
        (
            VOLUMES,
            "            return volume\n        ref = await self._send_volume(volume)\n",
            "            pass\n        ref = await self._send_volume(volume)\n",
        ),
    ),
    seed(
        "volumes",
        "price-of-a-day",
        "the price of a month is divided by its days",
        "runpod",
        "test_a_volume_costs_what_was_said_until_it_is_deleted",
        (
            "wire.py",
            'UnitPrice(Decimal("0.07") / HOURS_OF_MONTH, USD)',
            'UnitPrice(Decimal("0.07") / 30, USD)',
        ),
    ),
    seed(
        "volumes",
        "charges-of-all",
        "the charges of every volume and machine are those of one",
        "prime",
        "test_another_volume_is_neither_charged_nor_deleted",
        ("billing.py", "if ref == volume.ref and charge.money.amount", "if charge.money.amount"),
    ),
    seed(
        "volumes",
        "not-mounted",
        "a machine is created with a disk of its own instead",
        "runpod",
        "test_a_machine_mounts_it_and_leaves_it",
        ("provider.py", "        if facts.get(wire.VOLUME):\n", "        if not facts.get(wire.GPU):\n"),
    ),
    seed(
        "volumes",
        "deleted-by-any-answer",
        "whatever answers a delete is its success",
        "runpod",
        "test_a_bad_answer_to_a_delete_is_no_end",
        ("volumes.py", "if reply.status != 204:", "if reply.status == 0:"),
    ),
)
