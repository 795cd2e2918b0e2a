"""The web application: all routes and middlewares for one instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from infisical_sandbox.server.web import (
    admin_routes,
    auth_routes,
    event_routes,
    folder_routes,
    import_routes,
    middleware,
    project_routes,
    secret_routes,
)
from infisical_sandbox.server.web.authentication import INSTANCE

if TYPE_CHECKING:
    from infisical_sandbox.server.instance import Instance

_MAX_BODY = 1024 * 1024


def build(instance: Instance) -> web.Application:
    """Build the application."""
    app = web.Application(
        middlewares=[
            middleware.log_requests,
            middleware.inject_faults,
            middleware.answer_errors,
        ],
        client_max_size=_MAX_BODY,
    )
    app[INSTANCE] = instance
    for routes in (
        auth_routes.routes(),
        project_routes.routes(),
        secret_routes.routes(),
        folder_routes.routes(),
        import_routes.routes(),
        event_routes.routes(),
        admin_routes.routes() if instance.options.admin else [],
    ):
        app.router.add_routes(routes)
    return app
