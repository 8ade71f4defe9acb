"""The Superfacility face: NERSC's API v1.2, and the token endpoint that its clients prove themselves to."""
