"""From the catalogue's objects to documents with links."""

from __future__ import annotations

from typing import Any

from iri_local_facility import catalog as core

from .links import Links


class Represent:
    """Writes the documents of one response."""

    def __init__(self, catalog: core.Catalog, links: Links) -> None:
        self._catalog = catalog
        self._link = links

    def facility(self) -> dict[str, Any]:
        """The facility."""
        sites = [self._link(f"/facility/sites/{self._catalog.site_id}")]
        uri = self._link("/facility")
        return {
            "id": self._catalog.facility_id,
            "name": f"Local facility {self._catalog.name}",
            "description": "A facility on one machine, for demos and tests; no production service",
            "last_modified": self._catalog.opened,
            "short_name": self._catalog.name,
            "organization_name": "This machine",
            "self_uri": uri,
            "site_uris": sites,
            "_links": self._link.hal(uri, "facility", has_site=sites),
        }

    def site(self) -> dict[str, Any]:
        """The one site."""
        uri = self._link(f"/facility/sites/{self._catalog.site_id}")
        resources = [self._link(f"/status/resources/{resource.id}") for resource in self._catalog.resources]
        return {
            "id": self._catalog.site_id,
            "name": "Desk",
            "description": "Where this machine stands",
            "last_modified": self._catalog.opened,
            "short_name": "desk",
            "operating_organization": "This machine",
            "self_uri": uri,
            "resource_uris": resources,
            "_links": self._link.hal(uri, "site", member_of=self._link("/facility"), has_resource=resources),
        }

    def resource(self, resource: core.Resource) -> dict[str, Any]:
        """A resource with its present status."""
        status, modified = self._catalog.resource_state(resource)
        uri = self._link(f"/status/resources/{resource.id}")
        site = self._link(f"/facility/sites/{self._catalog.site_id}")
        capabilities = [self._link(f"/account/capabilities/{resource.capability.id}")]
        compute = "compute" in resource.endpoints
        return {
            "id": resource.id,
            "name": resource.name,
            "description": resource.description,
            "last_modified": modified,
            "group": resource.group,
            "current_status": status,
            "resource_type": resource.type,
            "supported_endpoints": list(resource.endpoints),
            "attributes": resource.attributes,
            "self_uri": uri,
            "site_uri": site,
            "capability_uris": capabilities,
            "_links": self._link.hal(
                uri,
                "resource",
                located_at=site,
                has_capability=capabilities,
                submit_job=self._link(f"/compute/job/{resource.id}") if compute else None,
            ),
        }

    def capability(self, capability: core.Capability) -> dict[str, Any]:
        """A capability."""
        uri = self._link(f"/account/capabilities/{capability.id}")
        return {
            "id": capability.id,
            "name": capability.name,
            "description": capability.description,
            "last_modified": self._catalog.opened,
            "units": list(capability.units),
            "self_uri": uri,
            "_links": self._link.hal(uri, "capability"),
        }

    def incident(self, incident: dict[str, Any]) -> dict[str, Any]:
        """An incident."""
        uri = self._link(f"/status/incidents/{incident['id']}")
        events = [self._link(f"/status/events/{event}") for event in incident["events"]]
        resources = [self._link(f"/status/resources/{resource}") for resource in incident["resources"]]
        plain = ("id", "name", "description", "status", "start", "end", "type", "resolution")
        return {
            **{name: incident[name] for name in plain},
            "last_modified": incident["modified"],
            "self_uri": uri,
            "event_uris": events,
            "resource_uris": resources,
            "_links": self._link.hal(uri, "incident", has_event=events, impacts=resources),
        }

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        """An event."""
        uri = self._link(f"/status/events/{event['id']}")
        resource = self._link(f"/status/resources/{event['resource_id']}")
        incident = self._link(f"/status/incidents/{event['incident_id']}") if event["incident_id"] else None
        return {
            **{name: event[name] for name in ("id", "name", "description", "status")},
            "last_modified": event["occurred"],
            "occurred_at": event["occurred"],
            "self_uri": uri,
            "resource_uri": resource,
            "incident_uri": incident,
            "_links": self._link.hal(uri, "event", impacts=resource, generated_by=incident),
        }
