"""Stand-ins for systems you do not own, for demos and tests only. They are not the real thing."""
