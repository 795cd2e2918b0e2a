"""The Leases of one namespace as the API server keeps them, for a scripted server."""

import itertools
from typing import Any

from support.scripted_server import Answer, Request, answer

PREFIX = "/apis/coordination.k8s.io/"


class ScriptedLeases:
    """They are listed, created, replaced under a version, and deleted under one."""

    def __init__(self) -> None:
        self.leases: dict[str, dict[str, Any]] = {}
        self.versions = itertools.count(1)

    def served(self, request: Request) -> Answer:
        """As a well API server."""
        name = request.path.partition("/leases")[2].strip("/")
        if request.method == "GET":
            return answer(200, {"metadata": {}, "items": list(self.leases.values())})
        body = request.json()
        if request.method == "POST":
            name = body["metadata"]["name"]
            return self.refused() if name in self.leases else self.stored(name, body, 201)
        if name not in self.leases:
            return answer(404, {"message": "not found", "code": 404})
        wanted = body["preconditions" if request.method == "DELETE" else "metadata"]["resourceVersion"]
        if wanted != self.leases[name]["metadata"]["resourceVersion"]:
            return self.refused()
        if request.method == "DELETE":
            del self.leases[name]
            return answer(200, {})
        return self.stored(name, body, 200)

    def refused(self) -> Answer:
        """A conflict."""
        return answer(409, {"message": "the object has been modified", "code": 409})

    def stored(self, name: str, body: dict[str, Any], status: int) -> Answer:
        """Stored as sent, in a new version."""
        identity = {"uid": f"uid-{name}", "resourceVersion": str(next(self.versions))}
        self.leases[name] = body | {"metadata": body["metadata"] | identity}
        return answer(status, self.leases[name])
