"""`python -m infisical_events`."""

from infisical_events.cli.commands import main

main()
