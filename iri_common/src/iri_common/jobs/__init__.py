"""Submit once, wait politely, read what was written: jobs over any dialect's ports."""
