"""Keeps the command `infisical-sandbox` out of the released wheel.

The wheel holds the operator alone. The command belongs to `infisical_sandbox`, `local_cluster` and
`infisical_demo`, which exist in a checkout only: an editable install has them and keeps the command.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CHECKOUT_COMMANDS = ("infisical-sandbox",)


class CheckoutCommandsHook(BuildHookInterface):
    """Removes the commands of the checkout from every wheel that is not editable."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Change the entry points before hatchling writes them; `version` is `standard` or `editable`."""
        if version == "editable":
            return
        for command in CHECKOUT_COMMANDS:
            self.metadata.core.scripts.pop(command)
