"""One job at one facility: ``python examples/hello.py <profile>``."""

from __future__ import annotations

import sys

from iri_common import Facility, JobFailed, JobSpec

facility = Facility.from_profile(sys.argv[1] if len(sys.argv) > 1 else "local")
try:
    job = facility.jobs.run(
        JobSpec(executable="/bin/hostname"), on_change=lambda status: print(status.describe())
    )
except JobFailed as failure:
    sys.exit(str(failure))
print(facility.jobs.tail(job.ref), end="")
