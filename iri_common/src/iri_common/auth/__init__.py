"""Token sources and their keeper: one refresh for all callers. The wire is handed in, none is imported."""
