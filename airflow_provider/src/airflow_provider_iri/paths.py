"""A path through a network around other tasks: set up before them, given back after."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_iri.errands import Errand
    from iri_common import JobRef, PathIntent

STORE_KEY = "iri_path"
LIMIT = timedelta(minutes=20)  # paths over several domains take minutes


class IriPathOperator(BaseOperator):
    """Leases a path through a network (SENSE), and waits in the triggerer until it is up.

    The setup of a pair whose teardown is :class:`IriPathReleaseOperator`. However often it is tried, there
    is one path; one that does not come up, or whose task a person ends while it waits, is given back.

    Example:
        >>> up = IriPathOperator(
        ...     task_id="path",
        ...     iri_conn_id="sense",
        ...     path={"ends": [{"uri": "urn:ogf:network:a"}, {"uri": "urn:ogf:network:b"}], "mbps": 10_000},
        ... )
        >>> down = IriPathReleaseOperator(task_id="release", iri_conn_id="sense", path=up.output["iri_path"])
        >>> up >> move >> down.as_teardown(setups=up, on_failure_fail_dagrun=True)

    Args:
        path: In the words of :class:`iri_common.PathIntent`. Templated. Give it an ``end``: whatever
            happens to Airflow, the network takes it back by then.
        limit: For it to come up.
        iri_conn_id: The connection. Templated.
        kwargs: Of every operator.

    Returns:
        ``{"ref": …}``. The XCom ``iri_path`` holds the reference as soon as the path was asked for.
    """

    template_fields: Sequence[str] = ("path", "iri_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"path": "json"}
    ui_color = "#e7e0f0"

    def __init__(
        self,
        *,
        path: Mapping[str, Any],
        limit: timedelta = LIMIT,
        iri_conn_id: str = "iri_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.limit = limit
        self.iri_conn_id = iri_conn_id

    def execute(self, context: Context) -> None:
        """Ask for it, or find what an earlier try has asked for; wait until it is up."""
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.guard import require_wanted
        from airflow_provider_iri.hooks import IriHook
        from airflow_provider_iri.triggers import IriPathTrigger

        with told_to_airflow(self.iri_conn_id):
            intent, networks = self._intent(), IriHook(self.iri_conn_id).facility.networks
            errand = _errand(context)
            # The trigger of before a clear gives its path back, too, maybe after this try has begun.
            if (before := errand.record.before) is not None:
                _give_back(networks, before)
                errand.note(before=None)
            path = networks.provision(intent, key=errand.key)
            errand.note(ref=str(path.ref))

            def end() -> None:
                _give_back(networks, path.ref)
                errand.again()

            require_wanted(context["ti"], "the path is given back", end)
        context["ti"].xcom_push(key="iri_path", value=str(path.ref))
        self.log.info("asked for %s", path.ref)
        deadline = time.time() + self.limit.total_seconds()
        trigger = IriPathTrigger(self.iri_conn_id, str(path.ref), deadline)
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Tell that it is up."""
        from airflow_provider_iri.errors import tell_again

        if "trouble" in event:
            if event["trouble"] in {"PathFailed", "WaitTimeout"}:
                _errand(context).again()  # given back, which may be on no record of this host
            tell_again(event["trouble"], event["message"], self.iri_conn_id)
        return {"ref": event["ref"]}

    def _intent(self) -> PathIntent:
        from iri_common import PathEnd, PathIntent, UsageError

        try:
            ends = [PathEnd(**each) for each in self.path["ends"]]
            return PathIntent(**{**self.path, "ends": ends})
        except (KeyError, TypeError) as error:
            raise UsageError(f"this path cannot be asked for: {error}. It is {self.path!r}") from None


class IriPathReleaseOperator(BaseOperator):
    """Gives a path back, if it is still there, and waits until the network has cleared it away.

    Args:
        path: Its reference, the XCom ``iri_path`` of the setup. Templated.
        limit: For its end.
        iri_conn_id: The connection. Templated.
        kwargs: Of every operator.
    """

    template_fields: Sequence[str] = ("path", "iri_conn_id")
    ui_color = "#e7e0f0"

    def __init__(
        self, *, path: str, limit: timedelta = LIMIT, iri_conn_id: str = "iri_default", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.limit = limit
        self.iri_conn_id = iri_conn_id

    def execute(self, context: Context) -> None:
        """Wait for it in the triggerer."""
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.triggers import IriPathReleaseTrigger
        from iri_common import JobRef

        with told_to_airflow(self.iri_conn_id):
            ref = str(JobRef.parse(str(self.path)))
        trigger = IriPathReleaseTrigger(self.iri_conn_id, ref, self.limit.total_seconds())
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Tell what went wrong, if anything."""
        from airflow_provider_iri.errors import tell_again

        if "trouble" in event:
            tell_again(event["trouble"], event["message"], self.iri_conn_id)


def _give_back(networks: Any, path: str | JobRef) -> None:
    networks.cancel(path)
    networks.delete(path)


def _errand(context: Context) -> Errand:
    """Which path a try is about. An ``end`` that counts from now makes no other one of it."""
    from airflow_provider_iri.errands import Errand

    return Errand(context, STORE_KEY, "path", lasting=True)
