"""More of what a job had too little of, from one try to the next."""

from __future__ import annotations

import math
from collections.abc import Mapping

from iri_common import JobReason, JobSpec, UsageError

ENDED_BY: Mapping[JobReason, str] = {JobReason.TIME_LIMIT: "duration", JobReason.MEMORY: "memory"}
"""The word of a job spec that each ending asks for more of."""

_HOMES = {"duration": "attributes", "memory": "resources"}


def grown(spec: JobSpec, escalate: Mapping[str, float], steps: Mapping[str, int]) -> JobSpec:
    """The spec as a later try asks for it.

    Args:
        spec: As the author wrote it.
        escalate: By ``duration`` or ``memory``, how many times as much after each failure for want of it.
        steps: How many such failures there were.

    Raises:
        UsageError: if that cannot be multiplied.
    """
    for word, factor in escalate.items():
        if word not in _HOMES:
            raise UsageError(f"escalate knows {' and '.join(_HOMES)}, not {word!r}")
        if not isinstance(factor, int | float) or not factor > 1:  # an author may write a text
            raise UsageError(f"escalate: {word} becomes more, say by 2, not {factor!r} times as much")
        home = getattr(spec, _HOMES[word])
        had = getattr(home, word, None)
        if had is None:
            raise UsageError(f"escalate needs a {word} to begin with: job[{_HOMES[word]!r}][{word!r}]")
        more = home.model_copy(update={word: math.ceil(had * factor ** steps.get(word, 0))})
        spec = spec.model_copy(update={_HOMES[word]: more})
    return spec
