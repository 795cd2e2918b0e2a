"""`python -m infisical_sandbox` is `infisical-sandbox`."""

from infisical_sandbox.cli import main

main(prog_name="infisical-sandbox")
