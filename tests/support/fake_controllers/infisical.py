"""What both APIs of Infisical's operator share: the fetch and the conditions."""

from collections.abc import Iterable

from support.fake_controllers import objects
from support.fake_controllers.api_client import Api, ApiError
from support.fake_controllers.controller import Controller
from support.fake_controllers.options import PROMPT, Fetch, Options
from support.fake_controllers.resources import Object

MANAGER = "manager"
"""The field manager of a Go client without a name: the name of the program."""

_CONFLICT = 409


class InfisicalController(Controller):
    """Fetches, and reports by conditions only."""

    def __init__(self, api: Api, namespace: str, fetch: Fetch, options: Options = PROMPT) -> None:
        super().__init__(api, namespace, options)
        self._fetch = fetch

    async def fetched(self) -> dict[str, str]:
        """Return the data in Infisical; raises FetchError, also in the attempts that are to fail."""
        self.fail_if_due()
        return await self._fetch()

    async def tell(self, thing: Object, conditions: Iterable[Object]) -> None:
        """Write the status under the version that was read; a conflict is only logged, as in the real one."""
        workload_state = thing.get("status", {}).get("conditions", ())
        merged = objects.with_conditions(workload_state, objects.timestamp(self.options.skew), conditions)
        path = f"{self.resource.path(self.namespace, thing['metadata']['name'])}/status"
        try:
            await self.api.replace(path, thing | {"status": {"conditions": merged}}, MANAGER)
        except ApiError as error:
            if error.status != _CONFLICT:
                raise
