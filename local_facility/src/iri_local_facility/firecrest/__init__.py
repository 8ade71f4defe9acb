"""The FirecREST v2 face: CSCS' API, which runs scheduler and file commands on a login node for its user."""
