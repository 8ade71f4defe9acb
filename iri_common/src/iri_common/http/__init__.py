"""The wire (httpx stays inside), requests with credentials, and the budget they are made from."""
