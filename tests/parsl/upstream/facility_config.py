"""The configuration that Parsl's own tests run with: blocks at the facility of profile "demo"."""

import os
import sys
from pathlib import Path

from parsl import Config
from parsl.executors import HighThroughputExecutor

from parsl_iri import FacilityProvider


def fresh_config() -> Config:
    provider = FacilityProvider(
        "demo",
        worker_init=f"export PATH={Path(sys.executable).parent}:$PATH",
        directory=os.getcwd(),  # some tests name files relative to it, on both sides
    )
    executor = HighThroughputExecutor(
        label="upstream", provider=provider, address="127.0.0.1", max_workers_per_node=2
    )
    return Config(executors=[executor], strategy="none")
