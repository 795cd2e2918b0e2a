"""The HTTP face of the local Infisical: routes, bodies and answers over `instances`."""
