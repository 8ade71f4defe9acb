"""The one object that engines hold; the one place where dialects, ledger and services meet."""
