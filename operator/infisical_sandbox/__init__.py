"""The local Infisical, for demos and tests: see `server`."""
