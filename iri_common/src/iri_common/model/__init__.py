"""Words, errors and ports: no input or output here."""
