"""What the two APIs of Infisical's operator have in common: where data come from, and how it tells."""

from collections.abc import Iterable

from support.fake_controllers import objects
from support.fake_controllers.api_client import Api, ApiError
from support.fake_controllers.controller import Controller
from support.fake_controllers.options import PROMPT, Fetch, Options
from support.fake_controllers.resources import Object

MANAGER = "manager"
"""What Go calls the field manager of a client that names none: the program."""

_CONFLICT = 409


class InfisicalController(Controller):
    """Fetches, and tells by conditions alone."""

    def __init__(self, api: Api, namespace: str, fetch: Fetch, options: Options = PROMPT) -> None:
        super().__init__(api, namespace, options)
        self._fetch = fetch

    async def fetched(self) -> dict[str, str]:
        """What is in Infisical; raises FetchError, also in the tries that are to fail."""
        self.fail_if_due()
        return await self._fetch()

    async def tell(self, thing: Object, conditions: Iterable[Object]) -> None:
        """As the real one does, with the version that was read first; if that is old, it is only logged."""
        workload_state = thing.get("status", {}).get("conditions", ())
        merged = objects.with_conditions(workload_state, objects.timestamp(self.options.skew), conditions)
        path = f"{self.resource.path(self.namespace, thing['metadata']['name'])}/status"
        try:
            await self.api.replace(path, thing | {"status": {"conditions": merged}}, MANAGER)
        except ApiError as error:
            if error.status != _CONFLICT:
                raise
