"""What runs at the facility: the guard in front of every job, and the journal it leaves; no I/O here."""
