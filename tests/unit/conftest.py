"""The chart as the real helm renders it, for the tests of the chart."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support import charts


@pytest.fixture(scope="session")
def helm() -> Path:
    """A helm that is there already."""
    binary = charts.find_helm()
    if binary is None:
        pytest.skip("there is no helm: `infisical-sandbox cluster binaries` makes one present")
    return binary


@pytest.fixture(scope="session")
def render(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., charts.Objects]:
    """`render(scopedNamespaces=["a"])`: the objects of the chart with these values, rendered once for all."""
    folder, known = tmp_path_factory.mktemp("values"), dict[str, charts.Objects]()

    def run(**values: object) -> charts.Objects:
        given = json.dumps(values, sort_keys=True)
        if given not in known:
            known[given] = charts.rendered(helm, *charts.with_values(values, folder))
        return known[given]

    return run
