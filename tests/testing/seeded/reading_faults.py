"""Faults of providers: what is misread in an answer, or left unread."""

from __future__ import annotations

from tests.testing.seeded.fault import JSON_API, seed

READING_FAULTS = (
    seed(
        "auth",
        "any-error-ends-session",
        "any error of the service is taken for the end of the login",
        "vast",
        "test_a_bad_answer_does_not_end_a_login",
        (
            JSON_API,
            "            await self.api.call_checked(self.method, self.account_path, token=login.token)\n",
            "            if (await self.api.call(self.method, self.account_path, token=login.token)).error:\n"
            "                return False\n",
        ),
    ),
    seed(
        "billing",
        "first-page-of-charges",
        "only the first page of the charges is read",
        "vast",
        "test_a_list_in_pages_of_any_size_is_the_same",
        (
            "charges.py",
            "        return [(page, row) async for page in pages for row in page.get_rows(",
            "        async for page in pages:\n            break\n        return [(page, row) for row in page.get_rows(",
        ),
    ),
    seed(
        "lease",
        "lost-order-spent-nothing",
        "a create whose answer is lost says that nothing was spent",
        "runpod",
        "test_no_answer_that_is_not_understood_says_that_nothing_was_spent",
        (
            "provider.py",
            '"/v2/pods", json=body, spent=Spent.UNKNOWN',
            '"/v2/pods", json=body, spent=Spent.NO',
        ),
    ),
    seed(
        "lease",
        "look-after-create-spent-nothing",
        "the look for what was just created says, if its answer is lost, that nothing was spent",
        "mistgpu",
        "test_no_answer_that_is_not_understood_says_that_nothing_was_spent",
        (
            "provider.py",
            "        with may_have_spent():\n            return lease, await",
            "        if lease:\n            return lease, await",
        ),
    ),
    seed(
        "lease",
        "bare-404-is-absent",
        "any 404 says that the machine is gone",
        "runpod",
        "test_a_gateway_s_404_is_no_end_of_a_released_lease",
        (
            "wire.py",
            'return self.status == 404 and self.body.get("status") == 404 and bool(self.body.get("detail"))',
            "return self.status == 404",
        ),
    ),
    seed(
        "lease",
        "memory-by-thousand",
        "MiB are divided by 1000",
        "vast",
        "test_the_memory_of_a_gpu_is_what_such_a_card_has",
        ("wire.py", "MB_IN_GIB // 2) // MB_IN_GIB", "MB_IN_GIB // 2) // 1000"),
    ),
    seed(
        "lease",
        "disk-is-not-ordered",
        "the wanted disk is in the price, and not in the order",
        "vast",
        "test_the_price_of_a_larger_disk_is_in_the_measured_burn",
        ("provider.py", '"disk": int(lease.provider_data[DISK]),', '"disk": wire.DISK_GB,'),
    ),
)
