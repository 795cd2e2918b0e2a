"""`python -m infisical_events`."""

from infisical_events.cli import main

main()
