"""What a grant allows, and what would be allowed in its stead. No I/O here."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from iri_common.model.counts import agreed, many
from iri_common.model.grant import Grant, Verb, within

# What a scheduler is told by a custom attribute and that adds no node, no time, no account and no queue.
HARMLESS = frozenset(
    {
        "comment",
        "constraint",
        "dependency",
        "filesystems",
        "hold",
        "licenses",
        "no-requeue",
        "requeue",
        "wckey",
    }
)
# In a list of PBS, or unquoted in a script of the facility's own, a value may end and another word begin.
_MORE = re.compile(r"[\x00-\x1f\x7f]|(?:^|\s)-|,[^,]*=")


@dataclass(frozen=True, slots=True)
class JobAsk:
    """What a job asks for.

    Attributes:
        nodes: At once; None where it cannot be told.
        hours: Nodes times time, of all tasks; None where it cannot be told.
        unclear: Why not.
        account: To charge.
        queue: To wait in.
        partly: Only these things of a job that is there are changed.
        custom: Words for the scheduler that may be more nodes, more time, another queue or account.
    """

    nodes: int | None = 1
    hours: float | None = None
    unclear: str = ""
    account: str | None = None
    queue: str | None = None
    partly: bool = False
    custom: tuple[str, ...] = ()

    @property
    def same_size(self) -> bool:
        """Whether neither nodes nor time of a job that is there are changed."""
        return self.partly and self.nodes is None and not self.unclear


@dataclass(frozen=True, slots=True)
class LinkAsk:
    """What a path through a network asks for; None for what cannot be told.

    Attributes:
        ends: The ports that it connects.
        mbps: Megabits a second.
        hours: From its beginning to its end.
    """

    ends: tuple[str, ...] | None = None
    mbps: int | None = None
    hours: float | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that is asked for.

    Attributes:
        verb: What.
        operation: The same in words of the ports.
        resource: All the names of where; empty for nowhere in particular.
        paths: Of files.
        job: What of a job.
        beside: Likewise of other resources, which are needed as well.
        link: What of a path through a network.
        stream: What is chosen of a cluster of message brokers.
    """

    verb: Verb
    operation: str
    resource: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    job: JobAsk | None = None
    beside: tuple[tuple[str, ...], ...] = ()
    link: LinkAsk | None = None
    stream: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a grant does not allow something.

    Attributes:
        asked: What for.
        allowed: What would be.
    """

    asked: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.asked}; allowed: {self.allowed}"


def refusal(grant: Grant, ask: Ask, spent_today: float = 0.0) -> Refusal | None:
    """Why something is not allowed; None if it is.

    Args:
        grant: The limits.
        ask: What is asked for.
        spent_today: Node hours of other jobs that were asked for within a day.
    """
    if grant.verbs is not None and ask.verb not in grant.verbs:
        return Refusal(f"to {ask.verb} ({ask.operation})", f"to {_listed(grant.verbs, ' and to ')}")
    if grant.resources is not None:
        known = set(map(str.casefold, grant.resources))
        for names in filter(None, (ask.resource, *ask.beside)):
            if known.isdisjoint(map(str.casefold, names)):
                return Refusal(f"{ask.operation} at {names[-1]}", f"at {_listed(grant.resources)}")
    if grant.paths is not None and (refused := _path_refusal(grant.paths, ask.paths)):
        return refused
    if ask.link is not None and (refused := _link_refusal(grant, ask.link)):
        return refused
    if ask.stream is not None and (refused := _stream_refusal(grant.most_of_stream(), ask.stream)):
        return refused
    return _job_refusal(grant, ask.job, spent_today) if ask.job is not None else None


def _path_refusal(prefixes: frozenset[str], paths: Iterable[str]) -> Refusal | None:
    for path in paths:
        plain = plain_path(path)
        if plain is None:
            why = "leads nowhere that could be told from here" if path else "no directory to work in"
            what = f"the path {path!r}, which {why}" if path else f"a job with {why}"
            return Refusal(what, f"an absolute path without '..' in {_listed(prefixes)}")
        if not any(within(plain, prefix) for prefix in prefixes):
            return Refusal(f"the path {path!r}", f"below {_listed(prefixes)}")
    return None


def _link_refusal(grant: Grant, link: LinkAsk) -> Refusal | None:
    if grant.ends is not None:
        strange = [each for each in link.ends or () if each not in grant.ends]
        if strange or link.ends is None:
            asked = f"a path to {strange[0]}" if strange else "a path whose ends nobody can tell"
            return Refusal(asked, f"between {_listed(grant.ends)}")
    if grant.mbps is not None and (link.mbps is None or link.mbps > grant.mbps):
        told = "a path whose bandwidth nobody can tell" if link.mbps is None else f"{link.mbps} Mbit/s"
        return Refusal(told, f"{grant.mbps} Mbit/s a path")
    if grant.path_hours is not None and (link.hours is None or link.hours > grant.path_hours):
        asked = "a path whose time nobody can tell" if link.hours is None else _amount(link.hours, "hour")
        return Refusal(asked, f"{_amount(grant.path_hours, 'hour')} a path")
    return None


def _stream_refusal(limits: Mapping[str, int] | None, chosen: Mapping[str, int]) -> Refusal | None:
    if limits is None:
        return None
    if not limits:
        return Refusal("a stream", "nothing")
    allowed = _listed(f"{name} up to {most}" for name, most in limits.items())
    for name, most in sorted(limits.items()):
        if name not in chosen:
            return Refusal(f"a stream that names no {name}, and would get some by default", allowed)
        if chosen[name] > most:
            return Refusal(f"a stream with {name}={chosen[name]}", allowed)
    return None


def unclear_words(custom: Mapping[str, str]) -> Iterator[str]:
    """The custom attributes that may be more nodes, more time, another queue or account."""
    for name, value in sorted(custom.items()):
        if name not in HARMLESS:
            yield name
        elif _MORE.search(value):
            yield f"{name}={value}"


def plain_path(path: str) -> str | None:
    """The one way to write a path; None if what it means is another's to say.

    Where ".." leads, links decide, and of a relative path nobody knows what it is relative to.
    """
    if not path.startswith("/") or ".." in path.split("/"):
        return None
    return posixpath.normpath(f"/{path.lstrip('/')}")


def _job_refusal(grant: Grant, job: JobAsk, spent: float) -> Refusal | None:
    counted = (grant.nodes, grant.node_hours, grant.node_hours_a_day, grant.accounts, grant.queues)
    if job.custom and any(each is not None for each in counted):
        asked = f"the custom attribute {job.custom[0]!r}, which may ask for more than can be told from here"
        return Refusal(asked, _listed(HARMLESS))
    for what, one, several in (("account", job.account, grant.accounts), ("queue", job.queue, grant.queues)):
        if several is None or (one is None and job.partly):
            continue
        if one is None:
            return Refusal(f"a job that names no {what}, and would get one by default", _listed(several))
        if one not in several:
            return Refusal(f"the {what} {one!r}", _listed(several))
    if grant.nodes is not None and (job.nodes is None or job.nodes > grant.nodes) and not job.same_size:
        asked = _amount(job.nodes, "node") if job.nodes is not None else job.unclear
        return Refusal(asked, f"{_amount(grant.nodes, 'node')} at once")
    if (grant.node_hours is None and grant.node_hours_a_day is None) or job.same_size:
        return None
    return _hours_refusal(grant.node_hours, grant.node_hours_a_day, job, spent)


def _hours_refusal(one: float | None, day: float | None, job: JobAsk, spent: float) -> Refusal | None:
    told = [f"{_amount(one, 'node hour')} a job"] if one is not None else []
    told += [f"{_amount(day, 'node hour')} a day"] if day is not None else []
    if job.hours is None:
        return Refusal(job.unclear, " and ".join(told))
    asked = _amount(job.hours, "node hour")
    if one is not None and job.hours > one:
        return Refusal(f"more than {asked}" if told[0].startswith(f"{asked} a") else asked, told[0])
    if day is not None and spent + job.hours > day:
        left = _shown(max(0.0, day - spent))
        words = f"{many(left, 'node hour')} {agreed(left, 'is', 'are')} left"
        return Refusal(asked, f"{told[-1]}, of which {words}")
    return None


def _listed(words: Iterable[str], between: str = ", ") -> str:
    return between.join(sorted(map(str, words))) or "nothing"


def _amount(count: float, what: str) -> str:
    return many(_shown(count), what)


def _shown(count: float) -> str:
    return f"{round(count, 2):g}"
