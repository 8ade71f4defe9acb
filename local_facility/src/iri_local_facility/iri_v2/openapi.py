"""The OpenAPI document: FastAPI's, with the errors every operation can answer and the API's own extension."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .models import Problem
from .problems import MEDIA_TYPE
from .version import Version

_REASONS = {
    "400": "Invalid request parameters",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "Not found",
    "405": "Method not allowed",
    "409": "Conflict",
    "422": "Unknown parameter, or an idempotency key used with another body",
    "500": "Internal error",
    "501": "Not implemented",
    "503": "Service unavailable",
    "504": "Gateway timeout",
}
_PLANNED = {"getComputeResources", "getFilesystemResources"}
_IN_DEVELOPMENT = {"getStorageLocations", "getStorageAccessEndpoints"}


def document(app: FastAPI, url: str, version: Version) -> dict[str, Any]:
    """The document of a face as served at ``url``."""
    spec = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        servers=[{"url": url}],
        separate_input_output_schemas=False,
    )
    schemas = spec["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schemas["Problem"].pop("$defs"))
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    if not version.attributes:
        for name in schemas.keys() - {"JobSpec"}:
            schemas[name].get("properties", {}).pop("attributes", None)
    for operations in spec["paths"].values():
        for operation in operations.values():
            _complete(operation)
    return spec


def _complete(operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status, reason in _REASONS.items():
        operation["responses"][status] = {"description": reason, "content": content}
    if name == "upload":
        operation["responses"]["413"] = {"description": "Payload too large", "content": content}
    operation["responses"]["304"] = {"description": "Not modified"}
    maturity = (
        "planned" if name in _PLANNED else "in_development" if name in _IN_DEVELOPMENT else "production"
    )
    operation["x-iri"] = {"maturity": maturity, "implementation": {"level": "required"}}
