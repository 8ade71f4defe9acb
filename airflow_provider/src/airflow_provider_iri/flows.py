"""Runs a Globus flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_iri.arguments import given

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_iri.errands import Errand
    from iri_common import Flows, JobKey

STORE_KEY = "iri_flow"


class IriFlowOperator(BaseOperator):
    """Starts a flow that Globus runs, once, and waits for its end in the triggerer.

    A retry goes on with the run of the try before while that is not over, a clear cancels it and starts a new
    one, marking the task cancels it. Who speaks to Globus say the profiles of workers and triggerers: the
    section ``[globus]``, or ``IRI_GLOBUS_*`` in the environment.

    Example:
        >>> IriFlowOperator(
        ...     task_id="publish",
        ...     flow="f37e5766-7b3c-4c02-92ee-e6aacd8f4cb8",
        ...     body={"source": {"path": "/scans/{{ ds }}"}},
        ... )

    Args:
        flow: Its id. Templated.
        body: Its input, templated at any depth.
        run_label: For people, in Globus' list of runs. Templated.
        run_tags: Likewise. Templated.
        kwargs: Of every operator. ``execution_timeout`` counts while the task is deferred, too.

    Returns:
        ``{"run_id": …, "output": …}`` as XCom; ``iri_flow_run`` holds the run's id from the start.
    """

    template_fields: Sequence[str] = ("flow", "body", "run_label", "run_tags")
    template_fields_renderers: ClassVar[dict[str, str]] = {"body": "json"}
    ui_color = "#dbe7f3"

    def __init__(
        self,
        *,
        flow: str,
        body: Mapping[str, Any],
        run_label: str = "{{ ti.dag_id }} {{ ti.task_id }}",
        run_tags: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow = flow
        self.body = body
        self.run_label = run_label
        self.run_tags = run_tags

    def execute(self, context: Context) -> None:
        """Start it, or find what an earlier try has started; wait for its end."""
        from airflow_provider_iri.errands import Errand
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.globus_triggers import IriFlowTrigger
        from airflow_provider_iri.guard import require_wanted
        from airflow_provider_iri.limits import deadline_of
        from iri_common import Flows

        with told_to_airflow():
            body, tags = _plain(self.body), given(self.run_tags)
            asked = [self.flow, body, self.run_label, tags]
            flows = Flows()
            errand = Errand(context, STORE_KEY, asked, found=partial(self._found, flows))
            self._end_before(flows, errand)
            run_id = errand.record.ref or flows.start(
                self.flow, body, key=errand.key, label=self.run_label, tags=tags
            )
            errand.note(ref=run_id)
            end = partial(self._end, flows, errand, run_id)
            require_wanted(context["ti"], f"run {run_id} is cancelled", end)
        context["ti"].xcom_push(key="iri_flow_run", value=run_id)
        self.log.info("run %s of flow %s", run_id, self.flow)
        deadline = deadline_of(self.execution_timeout)
        self.defer(trigger=IriFlowTrigger(run_id, deadline), method_name="execute_complete")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Tell how it went."""
        from airflow.sdk.exceptions import AirflowTaskTimeout

        from airflow_provider_iri.errands import Errand
        from airflow_provider_iri.errors import tell_again, told_to_airflow
        from iri_common import FlowFailed, Flows, RunState

        run_id = event["run_id"]
        with told_to_airflow():
            errand, flows = Errand(context, STORE_KEY), Flows()
            if event.get("trouble") == "WaitTimeout":
                # A triggerer that was away cannot tell whether the run was: how it ended is what counts.
                if not flows.status(run_id).state.over:
                    self._end(flows, errand, run_id)
                    raise AirflowTaskTimeout(event["message"])
                self.log.info("run %s has ended after all, by the end of its time", run_id)
            elif "trouble" in event:
                # Of one that is not known any more nobody tells the end; all else can be waited for again.
                errand.note(**{"ended" if event["trouble"] == "NotFound" else "left": True})
                tell_again(event["trouble"], event["message"])
            run = flows.status(run_id)
            if run.state is not RunState.SUCCEEDED:
                errand.note(ended=True)
                why = ": ".join(each for each in (run.code, run.words) if each) or "no reason is told"
                raise FlowFailed(f"run {run_id} of flow {self.flow} {run.state}: {why}", run=run)
        return {"run_id": run_id, "output": run.output}

    def _found(self, flows: Flows, key: JobKey) -> tuple[str, bool] | None:
        from iri_common import RunState

        run = flows.find(self.flow, key, label=self.run_label)
        return run and (run.run_id, run.state.over and run.state is not RunState.SUCCEEDED)

    def _end(self, flows: Flows, errand: Errand, run_id: str) -> None:
        flows.cancel(run_id)
        errand.note(ended=True)

    def _end_before(self, flows: Flows, errand: Errand) -> None:
        """A run that a clear or another input left behind, unless the trigger of before has ended it."""
        from iri_common import NotFound

        if (asked := errand.record.unsettled) is not None:
            found = flows.find(self.flow, errand.key_of(asked), label=self.run_label)
            errand.note(unsettled=None, before=found.run_id if found else errand.record.before)
        if (before := errand.record.before) is None:
            return
        try:
            flows.cancel(before)
        except NotFound as error:
            self.log.info("the run of before is left as it is: %s", error)
        errand.note(before=None)


def _plain(value: Any) -> Any:
    """With lists for what mapped tasks give: that is a sequence of Airflow's own, and no JSON."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(each) for each in value]
    return value
