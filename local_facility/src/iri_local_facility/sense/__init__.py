"""ESnet's SENSE: an orchestrator that leases paths between the sites of a small network."""

PREFIX = "/sense"
API = f"{PREFIX}/StackV-web/restapi"
TOKEN = f"{PREFIX}/auth/realms/StackV/protocol/openid-connect/token"
CLIENT_ID = "StackV"
PUBLIC_ID = f"{CLIENT_ID}-public"  # an application without a secret
