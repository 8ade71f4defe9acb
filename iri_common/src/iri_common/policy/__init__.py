"""Pure decisions, tested by tables, properties and a virtual clock: no input or output here."""
