"""What the core refuses, and why; each face translates these into its own wire format.

FacilityError
├── Rejected      the request makes no sense here (unknown queue, too many nodes, …)
├── Denied        this user may not do that
├── Missing       no such job, task, resource, …
├── Conflict      the object is in a state that forbids it
├── TooLarge      more bytes than this facility moves in one request
└── Unsupported   this facility does not do that at all
"""

from __future__ import annotations


class FacilityError(Exception):
    """Base of everything the core refuses."""


class Rejected(FacilityError):
    """The request cannot be accepted as it stands."""


class Denied(FacilityError):
    """The user is known but not allowed."""


class Missing(FacilityError):
    """No such object."""


class Conflict(FacilityError):
    """The object's state forbids the request."""


class TooLarge(FacilityError):
    """The payload exceeds the facility's limit."""


class Unsupported(FacilityError):
    """The facility does not offer this."""
