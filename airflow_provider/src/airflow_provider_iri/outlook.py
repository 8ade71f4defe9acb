"""Warns before a facility goes away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class IriOutlookOperator(BaseOperator):
    """Fails if a resource is down, cannot be asked, or is announced to be away soon.

    In a DAG of its own, some times a day, with an ``on_failure_callback``, it tells somebody before anything
    fails. What is to wait for the end of it is :class:`~airflow_provider_iri.sensors.IriResourceSensor`.

    Example:
        >>> IriOutlookOperator(task_id="outlook", ahead=timedelta(days=2), on_failure_callback=IriNotifier())

    Args:
        resource: Name or id; the connection's if None. Templated.
        ahead: For so long from now on no maintenance may be announced.
        iri_conn_id: The connection. Templated.
        kwargs: Of every operator.

    Returns:
        ``{"resource": …, "status": …}``.
    """

    template_fields: Sequence[str] = ("resource", "iri_conn_id")
    ui_color = "#f0ecd9"

    def __init__(
        self,
        *,
        resource: str | None = None,
        ahead: timedelta = timedelta(days=1),
        iri_conn_id: str = "iri_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.resource = resource
        self.ahead = ahead
        self.iri_conn_id = iri_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Look once."""
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.hooks import IriHook
        from airflow_provider_iri.sights import NotYet, ResourceUsable
        from iri_common import ResourceDown

        with told_to_airflow(self.iri_conn_id):
            sight = ResourceUsable(self.resource, self.ahead.total_seconds())
            found = sight.look(IriHook(self.iri_conn_id).facility)
            if isinstance(found, NotYet):
                raise ResourceDown(found.why)
            return found
