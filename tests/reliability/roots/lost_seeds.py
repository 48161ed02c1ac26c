"""Runs seeds of a family one after the other: ``python -m tests.reliability.roots.lost_seeds R8 3 7``.

For each, a line of JSON with what was lost is printed; after ``--limit N`` seeds that lost something, no more are run.
``--providers A,B``: those that the seeds are given to by turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
from collections.abc import Sequence

from tests.reliability.families import FAMILIES
from tests.reliability.providers import PROVIDERS_VARIABLE


async def _run_seeds(family: str, seeds: Sequence[int], limit: int) -> None:
    for seed in seeds:
        result = await FAMILIES[family].run_seed(seed)
        print(json.dumps({"seed": seed, "losses": [str(loss) for loss in result.losses]}), flush=True)
        limit -= bool(result.losses)
        if limit == 0:
            return


def main() -> None:
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    parser = argparse.ArgumentParser()
    parser.add_argument("family", choices=sorted(FAMILIES))
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--providers", default="")
    given = parser.parse_args()
    os.environ[PROVIDERS_VARIABLE] = given.providers
    asyncio.run(_run_seeds(given.family, given.seeds, given.limit))


if __name__ == "__main__":
    main()
