"""The commands of `infisical-events`. `commands` is the only reader of the environment."""
