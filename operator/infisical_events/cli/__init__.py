"""The command line: `commands` has `infisical-events run` and is the only reader of the environment."""
