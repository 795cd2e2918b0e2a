"""`python -m infisical_demo` is `infisical-sandbox`."""

from infisical_demo.cli import main

main(prog_name="infisical-sandbox")
