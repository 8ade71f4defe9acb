"""Whether a facility answers who looks at its jobs, and takes the credential; each change is said once."""

from __future__ import annotations

import logging

from iri_common.model.errors import AuthError
from iri_common.model.logfields import about

log = logging.getLogger(__name__)

REFUSED = "%s does not take the credential any more (%s); "
RENEWED = "%s: the jobs run on, and the waits for %d of them go on by themselves once it is accepted"
DYING = "the jobs run on; the waits for %d of them try it a little longer"


class Trouble:
    """What stands between a poller and its jobs.

    Args:
        label: What messages call the facility.
        mend: What a person does about a credential that is refused; None where there can be no other one.

    Attributes:
        failures: Looks in a row that nobody answered.
        worked: Some look was answered.
        refused: The last one was refused for the credential.
    """

    def __init__(self, label: str, mend: str | None) -> None:
        self.failures = 0
        self.worked = False
        self.refused = False
        self._refused_at = 0.0
        self._label = label
        self._mend = mend

    def __bool__(self) -> bool:
        """Whether there is any now."""
        return bool(self.failures) or self.refused

    def over(self) -> bool:
        """A look was answered; gives whether there was any trouble before."""
        was = bool(self)
        if self.failures:
            log.info("%s answers again", self._label, extra=about(facility=self._label))
        if self.refused:
            log.info("the credential for %s works again", self._label, extra=about(facility=self._label))
        self.failures, self.refused, self.worked = 0, False, True
        return was

    def unanswered(self, error: BaseException | None) -> None:
        """A look was not answered."""
        self.failures += 1
        if self.failures == 1:
            log.warning(
                "%s does not tell how its jobs are (%s); they are left alone and asked for again",
                self._label,
                error,
                extra=about(facility=self._label, error=error),
            )

    def hopeless(self, now: float, patience: float) -> bool:
        """Whether a credential that was refused just now has been for so long, and stays so."""
        since = self._refused_at if self.refused else now
        return self._mend is None and now - since >= patience

    def refuse(self, error: Exception, waits: int, now: float) -> None:
        """A look was refused for the credential, and so many waits are left after that."""
        if waits and not self.refused:
            self._refused_at = now
            own = error.mend if isinstance(error, AuthError) else ""
            then, mend = (DYING, []) if self._mend is None else (RENEWED, [own or self._mend])
            fields = about(facility=self._label, error=error)
            log.warning(REFUSED + then, self._label, error, *mend, waits, extra=fields)
        self.refused = bool(waits)
