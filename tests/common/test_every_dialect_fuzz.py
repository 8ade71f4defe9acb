"""Whatever a facility sends, whoever asks for anything sees a value or an IriError.

``IRI_FUZZ`` says how many replies each operation gets; a failure names the seed of its own.
"""

from __future__ import annotations

import os
import random

import pytest
from fuzz_doors import DOORS, any_reply, arguments, dialect, operations, services

from iri_common.model.errors import IriError
from iri_common.model.outcome import Done, Pending

REPLIES = int(os.environ.get("IRI_FUZZ", "30"))
ENOUGH = 60  # replies: of so many some fit, else they are too wild
MOST_WORDS = 3000  # characters of an error: whatever came, a person shall be able to read it
EVERYTHING = [(name, *each) for name, door in DOORS.items() for each in operations(door)]


async def asked(name: str, service: str, method: str, number: int) -> str:
    """What came of it: "value", or the error's class."""
    door, dice = DOORS[name], random.Random(f"{name}:{service}.{method}:{number}")
    made = dialect(door, dice, kindly=dice.random() < 0.8)
    api = services(made).get(service)
    if api is None:  # which the systems that it was told of have not
        return "absent"
    call = getattr(api, method)
    try:
        answer = await call(**arguments(door, call, dice))
        for _ in range(2):
            if isinstance(answer, Pending):
                answer = await made.operations.check(answer)
    except IriError as error:
        told = error
    else:
        assert isinstance(answer, Done | Pending | str), answer
        return "value"
    assert len(str(told)) <= MOST_WORDS, f"{len(str(told))} characters"
    return type(told).__name__


@pytest.mark.parametrize(("name", "service", "method"), EVERYTHING)
async def test_any_reply_is_a_value_or_an_error(name: str, service: str, method: str) -> None:
    for number in range(REPLIES):
        try:
            await asked(name, service, method, number)
        except Exception as error:
            raise AssertionError(f"{name}: {service}.{method}, reply {number}") from error


async def fits(name: str, service: str, method: str) -> bool | None:
    """Whether some reply comes to a value; None where nothing is offered."""
    came: set[str] = set()
    for number in range(ENOUGH):
        came.add(await asked(name, service, method, number))
        if "value" in came:
            return True
        if number > 5 and came <= {"NotOffered", "absent"}:
            return None
    return False


@pytest.mark.parametrize("name", DOORS)
async def test_many_operations_get_some_reply_that_fits(name: str) -> None:
    found = {each[1:]: await fits(*each) for each in EVERYTHING if each[0] == name}
    offered = [each for each in found.values() if each is not None]
    assert sum(offered) > len(offered) / 3, found


@pytest.mark.parametrize("name", DOORS)
def test_any_answer_to_a_knock(name: str) -> None:
    kind = DOORS[name].kind
    for number in range(REPLIES * 10):
        reply = any_reply(random.Random(number), kind.name)
        assert isinstance(kind.recognise(reply.status, reply.body), str | None)
