"""Fault switches over HTTP; only there with `--admin`, only for the holder of the admin token."""

from __future__ import annotations

from aiohttp import web


def routes() -> list[web.RouteDef]:
    """The routes under `/__admin__`."""
    return []
