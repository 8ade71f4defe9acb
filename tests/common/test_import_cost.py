"""``import iri_common`` is cheap: engines import it in every process, also where no job is run."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("httpx", "pydantic", "asyncio", "ssl", "email", "iri_common.facility")

SCRIPT = """
import json, sys, time
before = time.perf_counter()
import iri_common
took = time.perf_counter() - before
print(json.dumps([took, sorted(sys.modules)]))
"""


def measured() -> tuple[float, list[str]]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    took, modules = json.loads(done.stdout)
    return took, modules


def test_the_import_costs_little_and_loads_nothing_heavy() -> None:
    runs = [measured() for _ in range(5)]
    assert min(took for took, _ in runs) <= 0.060
    assert not [name for name in HEAVY if name in runs[0][1]]


def test_the_words_of_a_job_load_no_wire() -> None:
    script = (
        "import sys; from iri_common import JobSpec, JobKey, JobRef, IriError; print('httpx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
