"""One job at one facility: ``python examples/hello.py <profile>``."""

from __future__ import annotations

import sys

from iri_common import Facility, IriError, JobSpec

try:
    facility = Facility.from_profile(sys.argv[1] if len(sys.argv) > 1 else "local")
    hello = JobSpec(executable="/bin/hostname")
    job = facility.jobs.run(hello, on_change=lambda status: print(status.describe()))
    print(facility.jobs.tail(job.ref), end="")
except IriError as error:
    sys.exit(str(error))
