"""``import iri_common`` is cheap: engines import it in every process, also where no job is run."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {"httpx", "pydantic", "asyncio", "ssl", "email", "iri_common.facility"}
MOST = 45  # modules, most of them of typing and re

SCRIPT = """
import json, sys
before = set(sys.modules)
import iri_common
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_the_import_loads_little_and_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert "iri_common" in loaded
    assert len(loaded) <= MOST
    assert not HEAVY & set(loaded)


def test_the_words_of_a_job_load_no_wire() -> None:
    script = (
        "import sys; from iri_common import JobSpec, JobKey, JobRef, IriError; print('httpx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
