"""What a job may ask for, API by API: what is sent says it, or nothing is sent and the reason is told."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from iri_common.model.errors import UsageError

MADE: Mapping[str, Any] = runpy.run_path(
    str(Path(__file__).resolve().parents[2] / "docs" / "make_facilities.py"), run_name="made"
)
DOORS, WORDS = MADE["doors"](), MADE["WORDS"]

IRI = {
    "reservation": '"reservation_id": "r1"',
    "QOS": '"custom_attributes": {"qos": "q"}',
    "whole nodes": '"exclusive_node_use": true',
    "GPUs": '"gpu_cores_per_process": 1',
    "memory": '"memory": 1073741824',
    "stdin": '"stdin_path": "i"',
    "login environment": '"inherit_environment": true',
    "container": '"container": {"image": "i"}',
}
DIRECTIVES = {
    "array": "#SBATCH --array=0-9",
    "after": "#SBATCH --dependency=afterok:42",
    "reservation": "#SBATCH --reservation=r1",
    "QOS": "#SBATCH --qos=q",
    "whole nodes": "#SBATCH --exclusive",
    "GPUs": "#SBATCH --gpus-per-task=1",
    "memory": "#SBATCH --mem=1024M",
    "stdin": "#SBATCH --input=i",
    "login environment": "#SBATCH --export=ALL",
}
BESIDE = {"reservation": '"reservation": "r1"', "stdin": '"standardInput": "i"'}
PBS = {
    "after": "#PBS -W depend=afterok:42",
    "reservation": '"reservation": "r1"',
    "QOS": "#PBS -l qos=q",
    "whole nodes": "#PBS -l place=excl",
    "GPUs": "ngpus=1",
    "memory": "mem=1024mb",
    "login environment": "#PBS -V",
}
FIELDS = {
    "array": '"array": "0-9"',
    "after": '"dependency": "afterok:42"',
    "reservation": '"reservation": "r1"',
    "QOS": '"qos": "q"',
    "whole nodes": '"exclusive": "exclusive"',
    "GPUs": '"gpus_per_task": "1"',
    "memory": '"memory_per_node": 1024',
    "stdin": '"standard_input": "i"',
}
NEWER = {
    "whole nodes": '"shared": ["none"]',
    "GPUs": '"tres_per_task": "gres/gpu:1"',
    "memory": '"memory_per_node": {"set": true, "number": 1024}',
}
S3M = ("reservation", "QOS", "memory", "stdin")
ALCF = ("QOS", "whole nodes", "memory", "login environment")
CARRIED: Mapping[str, Mapping[str, str]] = {
    "IRI v2": IRI,
    "IRI v1 at ALCF": {**{word: IRI[word] for word in ALCF}, "stdin": "base64"},  # in the script
    **{f"IRI v1 at {site}": IRI for site in ("OLCF", "NERSC", "SLAC")},
    "Superfacility API v1.2": DIRECTIVES,
    "FirecREST v2 over Slurm": {**DIRECTIVES, **BESIDE},
    "FirecREST v2 over PBS": PBS,
    "slurmrestd v0.0.38": FIELDS,
    "slurmrestd v0.0.44": {**FIELDS, **NEWER},
    "S3M (OLCF)": {word: {**FIELDS, **NEWER}[word] for word in S3M},
}


def test_every_api_is_in_the_table() -> None:
    assert set(CARRIED) == set(DOORS)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", CARRIED)
def test_a_word_is_sent_or_refused_with_a_reason(name: str, word: str) -> None:
    text = CARRIED[name].get(word)
    if text is not None:
        assert text in MADE["request"](name, DOORS[name], WORDS[word])
        return
    with pytest.raises(UsageError) as caught:
        MADE["request"](name, DOORS[name], WORDS[word])
    assert caught.value.operation is None  # nothing was asked of anybody
    assert len(caught.value.message.split()) > 6, "a reason, and what to do"
