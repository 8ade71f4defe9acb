"""One program over many inputs as one job: a scheduler's array, or a pack where an API has no arrays."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence

from iri_common import JobAttributes, JobSpec, UsageError

TOLD = "iri-elements:"  # begins the line in which a pack tells the exit codes of its elements
LONGEST = 100_000  # bytes of one argument; Linux takes no more than 128 KiB
NAMED = 3  # elements that failed, one by one in a log
LONGEST_NAME = 80  # characters

Inputs = Sequence[Sequence[str]]


def words_of(inputs: object) -> Inputs:
    """The inputs, each as the arguments that it adds.

    Raises:
        UsageError: if they are none.
    """
    # What a mapped task gives is a sequence of Airflow's own, each item of which costs a request.
    if isinstance(inputs, str | bytes) or not isinstance(inputs, Sequence) or not inputs:
        raise UsageError(f"inputs are a list with at least one element, not {inputs!r}")
    words = [(each,) if isinstance(each, str) else each for each in inputs]
    for index, each in enumerate(words):
        if not isinstance(each, list | tuple) or not all(isinstance(word, str) for word in each):
            raise UsageError(f"input {index} is a text, or a list of texts, not {each!r}")
    return words


def names_of(inputs: Inputs) -> Mapping[int, str]:
    """What the elements are to a person, by index."""
    names = {index: " ".join(shlex.join(words).split()) for index, words in enumerate(inputs)}
    cut = LONGEST_NAME - 1
    return {index: name if len(name) <= LONGEST_NAME else f"{name[:cut]}…" for index, name in names.items()}


def digest_of(inputs: Inputs) -> str:
    """By which those of an edited DAG are told from those that were asked for."""
    return hashlib.sha256(json.dumps([list(words) for words in inputs]).encode()).hexdigest()[:16]


def unfinished(told: Sequence[int | None], names: Mapping[int, str]) -> str:
    """Which elements have not succeeded, the first of them one by one; "" for none."""
    missing = [each for each, code in enumerate(told) if code != 0]
    if not missing:
        return ""
    parts = list[str]()
    for each in missing[:NAMED]:
        name = f" ({names[each]})" if each in names else ""
        end = "no exit code" if told[each] is None else f"exit code {told[each]}"
        parts.append(f"{each}{name}, {end}")
    if more := missing[NAMED:]:
        parts.append(f"and {len(more)} more: {_ranges(more)}")
    return f"{len(missing)} of {len(told)} elements have not succeeded: {'; '.join(parts)}"


def spread(spec: JobSpec, inputs: Inputs, left: Sequence[int], parallel: int | None) -> JobSpec:
    """An array of those elements that are left, each under its own index."""
    attributes = spec.attributes or JobAttributes()
    if attributes.array:
        raise UsageError("the array is made of the inputs: leave attributes.array out")
    array = _ranges(left) + (f"%{parallel}" if parallel else "")
    script = f'{_element(spec, inputs, left)}\nelement "$SLURM_ARRAY_TASK_ID"'
    more = {"attributes": attributes.model_copy(update={"array": array})}
    return _running(script, spec).model_copy(update=more)


def packed(spec: JobSpec, inputs: Inputs, left: Sequence[int], parallel: int | None, mark: str) -> JobSpec:
    """One job that runs those elements that are left, in so many lanes, and tells how each ended.

    Its output may go to a file where that of a job before it is: ``mark`` tells one from the other. All write
    to the same stderr: where an element fails, a line tells which, below what it wrote.
    """
    if spec.launcher:
        raise UsageError("elements of one job have no launcher: call it as the executable")
    count = min(parallel or 1, len(left))
    lanes = "\n".join(f"lane {' '.join(map(str, left[each::count]))} &" for each in range(count))
    script = f"""{_element(spec, inputs, left)}
codes=$(mktemp -d) || exit 70
lane() {{ for each in "$@"; do
    (element "$each"); code=$?; echo $code > "$codes/$each"
    test $code = 0 || echo "{TOLD} element $each, exit code $code" >&2
done; }}
{lanes}
wait
told= failed=0
for each in {" ".join(map(str, left))}; do
    code=$(cat "$codes/$each"); told="$told $code"
    test "$code" = 0 || failed=1
done
rm -rf "$codes"
printf '\\n{TOLD} {mark}%s\\n' "$told"
exit $failed"""
    return _running(script, spec)


def told_by(output: str, left: Sequence[int], mark: str) -> Mapping[int, int]:
    """The exit codes that this pack told, by element; nothing if it did not get so far."""
    begin = f"{TOLD} {mark} "
    lines = [line for line in output.splitlines() if line.startswith(begin)]
    codes = lines[-1].removeprefix(begin).split() if lines else []
    known = len(codes) == len(left) and all(code.isdecimal() for code in codes)
    return dict(zip(left, map(int, codes), strict=True)) if known else {}


def seen_before(stderr: str, told: Sequence[int | None], lines: int) -> Mapping[int, str]:
    """What stood in a pack's stderr when the first elements failed, by element: so many lines each.

    What the last lines show, which are told anyway, is left out.
    """
    every = stderr.splitlines()
    found = dict[int, str]()
    for each in [each for each, code in enumerate(told) if code][:NAMED]:
        line = f"{TOLD} element {each}, exit code {told[each]}"
        if line in every and (at := len(every) - 1 - every[::-1].index(line)) < len(every) - lines:
            found[each] = "\n".join(every[max(0, at - lines + 1) : at + 1])
    return found


def _element(spec: JobSpec, inputs: Inputs, left: Sequence[int]) -> str:
    """A shell function that becomes the program with one element's input."""
    cases = "\n".join(f"{each}) set -- {shlex.join(inputs[each])} ;;" for each in left)
    program = shlex.join([spec.executable, *spec.arguments])
    return f"""element() {{
export IRI_ELEMENT="$1"
case "$1" in
{cases}
*) echo "there is no element '$1'" >&2; exit 64 ;;
esac
exec {program} "$@"
}}"""


def _running(script: str, spec: JobSpec) -> JobSpec:
    if len(script.encode()) > LONGEST:
        raise UsageError("the inputs are too long to travel with the job: put them into files")
    return spec.model_copy(update={"executable": "/bin/sh", "arguments": ("-c", script)})


def _ranges(indices: Sequence[int]) -> str:
    """``0-3,7``."""
    runs: list[list[int]] = []
    for each in indices:
        if runs and runs[-1][-1] == each - 1:
            runs[-1][1:] = [each]
        else:
            runs.append([each])
    return ",".join("-".join(map(str, run)) for run in runs)
