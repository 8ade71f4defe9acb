"""Batch scripts as Slurm and PBS take them, and jobs in the words of both, for the faces that speak them."""

from __future__ import annotations

from .directives import BadScript, Scheduler, exported
from .requests import FEATURE, QOS, batch_request, check_script
from .running import environment, expand, make_tools, node_list, readable, written
from .states import PbsStatus, SlurmStatus, pbs_status, slurm_status

__all__ = [
    "FEATURE",
    "QOS",
    "BadScript",
    "PbsStatus",
    "Scheduler",
    "SlurmStatus",
    "batch_request",
    "check_script",
    "environment",
    "exported",
    "expand",
    "make_tools",
    "node_list",
    "pbs_status",
    "readable",
    "slurm_status",
    "written",
]
