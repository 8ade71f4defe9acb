"""What single sites do differently from the API as it is described, as data.

Sources: the sites' published adapters and guides, and what people reported against them.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from iri_common.jobside.batch import export_lines, plain_script
from iri_common.model.errors import NotOffered, UsageError
from iri_common.model.grades import Grades
from iri_common.model.state import JobState


def _as_it_is(spec: Mapping[str, Any]) -> dict[str, Any]:
    return dict(spec)


@dataclass(frozen=True, slots=True)
class Site:
    """One site's oddities.

    Attributes:
        name: In profiles.
        hosts: Where it is known by.
        grades: How its promises differ from those of a facility that implements all of the API.
        specs: It tells the specifications of jobs, their names among them, when asked for them.
        states: Words of the scheduler in ``meta_data`` that count more than the state of the API.
        said: A job's spec as this site must be told it; raises UsageError for what it cannot run.
        without: Services of the API that it does not have at all, each with what serves instead.
    """

    name: str = ""
    hosts: Sequence[str] = ()
    grades: Mapping[str, Any] = field(default_factory=dict[str, Any])
    specs: bool = True
    states: Mapping[str, JobState] = field(default_factory=dict[str, JobState])
    said: Callable[[Mapping[str, Any]], dict[str, Any]] = _as_it_is
    without: Mapping[str, str] = field(default_factory=dict[str, str])

    def graded(self, grades: Grades) -> Grades:
        """Those of the API, with this site's own."""
        return replace(grades, **self.grades)

    def require(self, service: str, operation: str, facility: str) -> None:
        """Refuse what nobody there would answer.

        Raises:
            NotOffered: if the site has no such service.
        """
        if instead := self.without.get(service):
            raise NotOffered(
                f"{self.name.upper()} serves no {service} service of the IRI API; {instead}",
                facility=facility,
                operation=operation,
            )


# ------------------------------------------------------------------------------------------------ ALCF

_ALCF_REFUSES: Mapping[str, str] = {
    "process_count": "start the processes with mpiexec -n in the job",
    "processes_per_node": "start the processes with mpiexec --ppn in the job",
    "cpu_cores_per_process": "place the processes with mpiexec --depth in the job",
    "gpu_cores_per_process": "place the processes on GPUs in the job",
}
# Each of these is answered with 501; a script says the same.
_IN_THE_SCRIPT = ("environment", "pre_launch", "post_launch", "launcher", "stdin_path")
_NOT_PLAIN = re.compile(r'["\\\x00-\x1f\x7f]')


def _alcf(spec: Mapping[str, Any]) -> dict[str, Any]:
    # alcf-facility-api pastes every text into a GraphQL document as it is: a quote, a backslash or a line
    # end breaks the request, or says something else. base64 has none of them, and stays right when they
    # begin to escape.
    resources: Mapping[str, Any] = spec.get("resources", {})
    attributes: Mapping[str, Any] = spec.get("attributes", {})
    for name, instead in _ALCF_REFUSES.items():
        if resources.get(name) is not None:
            raise UsageError(f"ALCF's API takes no {name}; {instead}")
    if resources.get("exclusive_node_use") is False:
        raise UsageError("ALCF gives whole nodes: exclusive_node_use cannot be false")
    if attributes.get("reservation_id"):
        raise UsageError("ALCF's API takes no reservation_id; name the reservation's queue as queue_name")
    if spec.get("inherit_environment") is False:
        raise UsageError(
            "ALCF's API cannot start a job without its usual environment; run the program behind env -i"
        )
    text = plain_script(spec)
    if stdin := spec.get("stdin_path"):
        first, _, rest = text.partition("\n")
        text = f"{first}\nexec < {shlex.quote(stdin)} || exit\n{rest}"
    told = {name: value for name, value in spec.items() if name not in _IN_THE_SCRIPT}
    shell = "/bin/bash" if text.startswith("#!/bin/bash") else "/bin/sh"
    told |= {"executable": shell, "arguments": ["-c", in_plain_letters(text)]}
    _require_plain(told)
    return told


def in_plain_letters(script: str) -> str:
    """A shell command that runs this script and has no quote, backslash or line end in it."""
    letters = base64.b64encode(f"unset IFS\nset +f\n{script}".encode()).decode()
    # Without quotes the result of `$( )` is one word only if nothing splits and nothing expands it.
    return f"set -f;IFS=;eval $(echo {letters}|base64 -d)"


def _require_plain(value: object, where: str = "the job") -> None:
    if isinstance(value, str) and _NOT_PLAIN.search(value):
        raise UsageError(
            f"{where} has a quote, a backslash or a control character in it, which ALCF's API does not pass "
            f"on: {value!r}"
        )
    if isinstance(value, dict):
        for name, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            _require_plain(name, where)  # pyright: ignore[reportUnknownArgumentType]
            _require_plain(each, str(name))  # pyright: ignore[reportUnknownArgumentType]


# ------------------------------------------------------------------------------------------ OLCF, SLAC


def _olcf(spec: Mapping[str, Any]) -> dict[str, Any]:
    if not spec.get("directory"):
        raise UsageError("OLCF's API wants to know the job's directory; name one in the spec or the profile")
    return dict(spec)


_PROGRAM = ("executable", "arguments", "environment")


def _slac(spec: Mapping[str, Any]) -> dict[str, Any]:
    told = dict(spec)
    attributes: dict[str, Any] = dict(spec.get("attributes", {}))
    if duration := attributes.get("duration"):
        attributes["duration"] = -(-duration // 60) * 60  # they cut it to whole minutes
        told["attributes"] = attributes
    # Given one, they replace all of the job's, PATH among it.
    if not told.pop("environment", None):
        return told
    if spec.get("pre_launch") or spec.get("post_launch"):  # they see it too, and may change it
        told["pre_launch"] = "\n".join([*export_lines(spec), spec.get("pre_launch") or ":"])
    else:
        alone = {name: value for name, value in spec.items() if name in _PROGRAM}
        told |= {"executable": "/bin/sh", "arguments": ["-c", plain_script(alone)]}
    return told


SITES: Mapping[str, Site] = {
    each.name: each
    for each in (
        Site(
            "alcf",
            hosts=("api.alcf.anl.gov", "api-dev.alcf.anl.gov"),
            # No upload, no tail, no archives; `view` reads text of up to 9,958,272 bytes.
            grades={
                "settle": "snapshot",
                "upload_limit": 0,
                "download_limit": 0,
                "archives": False,
                "logs": "follow",
            },
            specs=False,
            said=_alcf,
        ),
        Site(
            "olcf",
            hosts=("amsc-open.s3m.olcf.ornl.gov", "amsc-moderate.s3m.olcf.ornl.gov"),
            # 14 operations: facility, status, compute.
            grades={
                "settle": "snapshot",
                "journal": "no",
                "files": "none",
                "upload_limit": None,
                "download_limit": None,
                "archives": False,
                "logs": "none",
            },
            said=_olcf,
            without={
                "filesystem": "lend the profile a Globus collection that shows its files",
                "account": "its S3M API tells of tokens and projects (dialect slurm, site s3m)",
            },
        ),
        # stdout_path is ignored there (iri-facility-api-python#53): `output_paths` asks where it went.
        Site("nersc", hosts=("api.iri.nersc.gov",)),
        Site("slac", states={"SUSPENDED": JobState.HELD, "STOPPED": JobState.HELD}, said=_slac),
    )
}
PLAIN = Site()


def site_of(url: str, name: str | None = None) -> Site:
    """The site of that name, else the one that is known by this host, else one without oddities."""
    if name is not None:
        return SITES[name]
    host = urlsplit(url).hostname
    return next((site for site in SITES.values() if host in site.hosts), PLAIN)


def unknown_site(name: str | None) -> str | None:
    """What is wrong with a site's name, for a person."""
    if name is None or name in SITES:
        return None
    return f"no such site of the IRI API: {name!r} (known: {', '.join(SITES)})"
