"""A path through a network around other tasks: set up before them, given back after."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from iri_common import JobKey, PathIntent

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
        >>> down = IriPathReleaseOperator(task_id="release", iri_conn_id="sense", key=up.output["iri_path"])
        >>> up >> move >> down.as_teardown(setups=up, on_failure_fail_dagrun=True)

    Args:
        path: In the words of :class:`iri_common.PathIntent`. Templated. Give it an ``end``: whatever
            happens to Airflow, the network takes it back by then.
        limit: For it to come up.
        iri_conn_id: The connection. Templated.
        kwargs: Of every operator.

    Returns:
        ``{"ref": …, "key": …}``. The XCom ``iri_path`` holds the key, for the release, from the start.
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
        from airflow_provider_iri.hooks import IriHook
        from airflow_provider_iri.triggers import IriPathTrigger

        with told_to_airflow(self.iri_conn_id):
            intent, networks = self._intent(), IriHook(self.iri_conn_id).facility.networks
            key, before = _keys(context)
            if before is not None:
                networks.give_back(before)
            context["ti"].xcom_push(key="iri_path", value=str(key))  # before there is anything to give back
            path = networks.provision(intent, key=key)
        self.log.info("asked for %s", path.ref)
        deadline = time.time() + self.limit.total_seconds()
        trigger = IriPathTrigger(self.iri_conn_id, str(key), str(path.ref), deadline)
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Tell that it is up."""
        from airflow_provider_iri.errors import tell_again

        if "trouble" in event:
            tell_again(event["trouble"], event["message"], self.iri_conn_id)
        return {"ref": event["ref"], "key": event["key"]}

    def _intent(self) -> PathIntent:
        from iri_common import PathEnd, PathIntent, UsageError

        try:
            ends = [PathEnd(**each) for each in self.path.get("ends", ())]
            return PathIntent(**{**self.path, "ends": ends})
        except TypeError as error:
            raise UsageError(f"this path cannot be asked for: {error}") from None


class IriPathReleaseOperator(BaseOperator):
    """Gives back what was leased under a key, if anything, and waits until the network has cleared it away.

    Args:
        key: The XCom ``iri_path`` of the setup. Templated.
        limit: For its end.
        iri_conn_id: The connection. Templated.
        kwargs: Of every operator.
    """

    template_fields: Sequence[str] = ("key", "iri_conn_id")
    ui_color = "#e7e0f0"

    def __init__(
        self, *, key: str, limit: timedelta = LIMIT, iri_conn_id: str = "iri_default", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.key = key
        self.limit = limit
        self.iri_conn_id = iri_conn_id

    def execute(self, context: Context) -> None:
        """Wait for it in the triggerer."""
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.triggers import IriPathReleaseTrigger
        from iri_common import JobKey

        with told_to_airflow(self.iri_conn_id):
            key = str(JobKey.parse(self.key))
        trigger = IriPathReleaseTrigger(self.iri_conn_id, key, self.limit.total_seconds())
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Tell what went wrong, if anything."""
        from airflow_provider_iri.errors import tell_again

        if "trouble" in event:
            tell_again(event["trouble"], event["message"], self.iri_conn_id)


def _keys(context: Context) -> tuple[JobKey, JobKey | None]:
    """Who asks, the same in every try; after a clear another one, and the one whose path is to go."""
    from airflow_provider_iri.record import remember
    from iri_common import JobKey

    ti: Any = context["ti"]
    store: Any = context.get("task_state_store")
    who = ("airflow", ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
    if store is None:  # Airflow 3.2 tells no clear from a retry
        return JobKey.of(*who), None
    asked = store.get(STORE_KEY) or {"nonce": str(ti.id), "generation": 1, "max_tries": ti.max_tries}
    # A clear raises max_tries. The trigger of before gives its path back, maybe after this try has begun.
    generation = asked["generation"] + (ti.max_tries > asked["max_tries"])
    remember(store, STORE_KEY, {**asked, "generation": generation, "max_tries": ti.max_tries})
    keys = [JobKey.of(*who, asked["nonce"], generation=each) for each in range(1, generation + 1)]
    return keys[-1], keys[-2] if len(keys) > 1 else None
