"""What the chart renders: by default, for chosen namespaces, and what it refuses."""

import base64
import json
import os
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infisical_events.cli import run_command as cli
from support import charts, schemas
from support.charts import Key, Objects

Render = Callable[..., Objects]

VALUES = yaml.safe_load((charts.CHART / "values.yaml").read_text())
SCHEMA = json.loads((charts.CHART / "values.schema.json").read_text())
NAME = charts.RELEASE
KEY_ROLE = f"{NAME}-key"
LEASES_ROLE = f"{NAME}-leases"

README = (charts.CHART / "README.md").read_text()


def pod(found: Objects) -> dict[str, Any]:
    """The pod's spec."""
    deployment = found[Key("Deployment", NAME, charts.NAMESPACE)]
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def granted(role: dict[str, Any]) -> set[tuple[str, str, str]]:
    """The rules of a role, one line for each resource."""
    return {
        (group, resource, " ".join(rule["verbs"]))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


# -- what is rendered -----------------------------------------------------------------------------


def test_objects_by_default(render: Render) -> None:
    """The operator, its identity, its rights in the whole cluster and the CRD; no more."""
    assert set(render()) == {
        Key("CustomResourceDefinition", schemas.CRD["metadata"]["name"]),
        Key("ServiceAccount", NAME, charts.NAMESPACE),
        Key("ClusterRole", NAME),
        Key("ClusterRole", f"{NAME}-view"),
        Key("ClusterRole", f"{NAME}-edit"),
        Key("ClusterRoleBinding", NAME),
        Key("Secret", cli.DIGEST_KEY_SECRET, charts.NAMESPACE),
        Key("Role", KEY_ROLE, charts.NAMESPACE),
        Key("RoleBinding", KEY_ROLE, charts.NAMESPACE),
        Key("Role", LEASES_ROLE, charts.NAMESPACE),
        Key("RoleBinding", LEASES_ROLE, charts.NAMESPACE),
        Key("Deployment", NAME, charts.NAMESPACE),
    }


def documented(table: int) -> set[tuple[str, str, str]]:
    """The rules of a table of rights in the chart's page, as `granted` tells those of a role."""
    tables = README.split("| API group | resource | verbs | what for |\n|---|---|---|---|\n")
    rows = tables[table].partition("\n\n")[0].splitlines()
    cells = [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in rows]
    return {("" if group == "core" else group, resource, verbs) for group, resource, verbs, _ in cells}


def test_rights(render: Render) -> None:
    """The operator may do what the chart's page says, and nothing else."""
    assert granted(render(rbac=GRANTED)[Key("ClusterRole", NAME)]) == documented(1)


GRANTED = {"serviceAccountTokens": True, "writeSecrets": True}
"""The rights of the table that are not granted by default."""

TOKENS = ("", "serviceaccounts/token", "create")
STORE, CLUSTER_STORE = (
    ("external-secrets.io", resource, "get") for resource in ("secretstores", "clustersecretstores")
)
WATCHED = {right for right in documented(1) if right[0] in {"apps", "argoproj.io", "batch"}}
NOT_WATCHED = {(group, resource, verbs.removesuffix(" watch")) for group, resource, verbs in WATCHED}


@pytest.mark.parametrize("namespaces", [[], ["shop"]])
@pytest.mark.parametrize(
    ("rbac", "lost", "left"),
    [
        ({"serviceAccountTokens": False}, {TOKENS}, set[tuple[str, str, str]]()),
        ({"writeSecrets": False}, {("", "secrets", "get create patch")}, {("", "secrets", "get")}),
        ({"readConfigMaps": False}, {("", "configmaps", "get")}, set[tuple[str, str, str]]()),
        ({"readSecretStores": False}, {STORE, CLUSTER_STORE}, set[tuple[str, str, str]]()),
        ({"watchWorkloads": False}, WATCHED, NOT_WATCHED),
    ],
)
def test_rights_that_nobody_uses(
    render: Render,
    namespaces: list[str],
    rbac: dict[str, bool],
    lost: set[tuple[str, str, str]],
    left: set[tuple[str, str, str]],
) -> None:
    """Each right of a feature can be left out, and nothing else goes with it."""
    found = render(rbac=GRANTED | rbac, scopedNamespaces=namespaces)
    role = found[Key("Role", NAME, "shop") if namespaces else Key("ClusterRole", NAME)]

    scoped = {CLUSTER_STORE} if namespaces else set()
    assert granted(role) == documented(1) - scoped - lost | left


def test_rights_at_home(render: Render) -> None:
    """So it is with its own Secret and its Leases."""
    found = render()
    own = ((KEY_ROLE, charts.NAMESPACE), (LEASES_ROLE, charts.NAMESPACE))
    roles = [granted(found[Key("Role", *place)]) for place in own]
    named = {(group, resource.partition(",")[0], verbs) for group, resource, verbs in documented(2)}
    assert set[tuple[str, str, str]]().union(*roles) == named


def test_rights_to_the_operators_own_secret(render: Render) -> None:
    """In its own namespace it may read one Secret by its name, and that is the name it uses."""
    role = render()[Key("Role", KEY_ROLE, charts.NAMESPACE)]

    assert granted(role) == {("", "secrets", "get")}
    assert [rule.get("resourceNames") for rule in role["rules"]] == [[cli.DIGEST_KEY_SECRET]]

    named = render(digestKeySecret="mine")[Key("Role", KEY_ROLE, charts.NAMESPACE)]
    assert [rule.get("resourceNames") for rule in named["rules"]] == [["mine"]]


def test_the_key_of_digests(render: Render) -> None:
    """The chart makes it, random, under the name that the operator reads; or leaves that to others."""
    place = Key("Secret", cli.DIGEST_KEY_SECRET, charts.NAMESPACE)
    variants = ({"shards": 1}, {"shards": 2})  # `render` renders no values twice
    first, second = (base64.b64decode(render(**values)[place]["data"]["key"]) for values in variants)
    assert len(first) >= 43
    assert first != second
    assert Key("Secret", "mine", charts.NAMESPACE) in render(digestKeySecret="mine")
    assert place not in render(createDigestKey=False)


@pytest.mark.parametrize("namespaces", [[], ["shop"]])
def test_no_right_to_make_a_token_by_default(render: Render, namespaces: list[str]) -> None:
    """Neither by a request for one, nor by a Secret that Kubernetes fills with one."""
    roles = [
        role
        for key, role in render(scopedNamespaces=namespaces).items()
        if key.kind in {"Role", "ClusterRole"} and "aggregate" not in str(role["metadata"].get("labels"))
    ]
    rights = set[tuple[str, str, str]]().union(*map(granted, roles))
    assert {verbs for _, resource, verbs in rights if resource == "secrets"} == {"get"}
    assert not any(resource == "serviceaccounts/token" for _, resource, _ in rights)


def test_rights_to_leases(render: Render) -> None:
    """Those of its own namespace alone, also where other namespaces are served."""
    for namespaces in ([], ["shop"]):
        role = render(scopedNamespaces=namespaces)[Key("Role", LEASES_ROLE, charts.NAMESPACE)]
        assert granted(role) == {("coordination.k8s.io", "leases", "list create update delete")}


def test_rights_of_people(render: Render) -> None:
    """The users who may view or edit a namespace may do so with its subscriptions, and no other users."""
    found = render()
    resource = ("events.infisical.com", "infisicaleventsubscriptions")
    aggregated = {
        name: {label.rpartition("-")[2] for label in role["metadata"]["labels"] if "/aggregate-to-" in label}
        for name in ("view", "edit")
        if (role := found[Key("ClusterRole", f"{NAME}-{name}")])
    }

    assert granted(found[Key("ClusterRole", f"{NAME}-view")]) == {(*resource, "get list watch")}
    assert granted(found[Key("ClusterRole", f"{NAME}-edit")]) == {
        (*resource, "create update patch delete deletecollection")
    }
    assert aggregated == {"view": {"view", "edit", "admin"}, "edit": {"edit", "admin"}}
    assert Key("ClusterRole", f"{NAME}-edit") not in render(rbac={"aggregate": False})


def test_chosen_namespaces(render: Render) -> None:
    """With chosen namespaces there are the same rights in each of them, and none beyond."""
    found = render(scopedNamespaces=["shop", "mail"], rbac=GRANTED)

    places = [(NAME, "shop"), (NAME, "mail"), (KEY_ROLE, charts.NAMESPACE)]
    places.append((LEASES_ROLE, charts.NAMESPACE))
    assert {key for key in found if "Role" in key.kind} == {
        Key(kind, name, namespace) for kind in ("Role", "RoleBinding") for name, namespace in places
    }
    assert granted(found[Key("Role", NAME, "shop")]) == documented(1) - {CLUSTER_STORE}
    assert charts.operator_command(found)[2:4] == ["--namespace=shop", "--namespace=mail"]


@pytest.mark.parametrize("namespaces", [[], ["shop"]])
def test_bindings_fit(render: Render, namespaces: list[str]) -> None:
    """Each binding joins the operator's ServiceAccount to the role beside it."""
    found = render(scopedNamespaces=namespaces, serviceAccount={"name": "someone"})
    bindings = {key: value for key, value in found.items() if key.kind.endswith("RoleBinding")}
    account = {"kind": "ServiceAccount", "name": "someone", "namespace": charts.NAMESPACE}

    assert len(bindings) == 3
    for key, binding in bindings.items():
        role = binding["roleRef"]
        assert Key(role["kind"], role["name"], key.namespace) in found
        assert binding["subjects"] == [account]
    assert pod(found)["serviceAccountName"] == "someone"
    assert Key("ServiceAccount", "someone", charts.NAMESPACE) in found


def test_foreign_identity(render: Render) -> None:
    """With a ServiceAccount and rights of your own the chart creates neither."""
    found = render(serviceAccount={"create": False, "name": "mine"}, rbac={"create": False})

    assert {key.kind for key in found} == {"CustomResourceDefinition", "Deployment", "Secret"}
    assert pod(found)["serviceAccountName"] == "mine"


def test_command_by_default(render: Render) -> None:
    """The operator is started with the chart's settings, in flags."""
    assert charts.operator_command(render()) == [
        "infisical-events",
        "run",
        "--http-address=:8080",
        "--max-restarts-per-minute=120",
        "--max-concurrent-rollouts=100",
        "--max-subscriptions-per-namespace=1000",
        "--shards=1",
        f"--lease-name={NAME}",
        "--lease-duration=15",
        "--log-format=json",
        "--log-level=info",
    ]
    assert charts.operator_environment(render()) == {"INFISICAL_EVENTS_IDENTITY": charts.POD}


def test_command_with_values(render: Render) -> None:
    """Each value that is a setting reaches the operator."""
    found = render(
        scopedNamespaces=["shop"],
        allowedAddresses=["https://*.example.com", "http://infisical.local:8080"],
        defaultAddress="https://eu.example.com",
        httpAddress="[::]:9090",
        maxRestartsPerMinute=0,
        maxConcurrentRollouts=1000000,
        maxSubscriptionsPerNamespace=20,
        allowedNetworks=["10.96.0.0/12", "fd00::/8"],
        replicaCount=3,
        shards=2,
        fullnameOverride="events",
        leaseDuration=30,
        digestKeySecret="key",
        log={"format": "text", "level": "debug"},
        extraEnv=[{"name": "HTTPS_PROXY", "value": "http://proxy.example.com"}],
    )

    assert charts.operator_command(found) == [
        "infisical-events",
        "run",
        "--namespace=shop",
        "--allowed-address=https://*.example.com",
        "--allowed-address=http://infisical.local:8080",
        "--allowed-network=10.96.0.0/12",
        "--allowed-network=fd00::/8",
        "--default-address=https://eu.example.com",
        "--http-address=[::]:9090",
        "--max-restarts-per-minute=0",
        "--max-concurrent-rollouts=1000000",
        "--max-subscriptions-per-namespace=20",
        "--shards=2",
        "--lease-name=events",
        "--lease-duration=30",
        f"--digest-key-secret={charts.NAMESPACE}/key",
        "--log-format=text",
        "--log-level=debug",
    ]
    assert charts.operator_environment(found)["HTTPS_PROXY"] == "http://proxy.example.com"
    assert charts.container(found)["ports"][0]["containerPort"] == 9090


def test_operator_understands_its_command(render: Render) -> None:
    """The operator takes the command line that the chart gives it, and every value as it is meant."""
    found = render(scopedNamespaces=["shop", "mail"], allowedAddresses=["https://*.example.com"])
    program, command, *arguments = charts.operator_command(found)
    understood = cli.run.make_context(f"{program} {command}", arguments).params

    assert understood["namespaces"] == ("shop", "mail")
    assert understood["allowed_addresses"] == ("https://*.example.com",)
    assert understood["http_address"] == VALUES["httpAddress"]
    assert understood["max_restarts_per_minute"] == VALUES["maxRestartsPerMinute"]
    assert understood["max_concurrent_rollouts"] == VALUES["maxConcurrentRollouts"]
    assert understood["log_format"] == VALUES["log"]["format"]


@pytest.mark.parametrize(
    ("value", "option"),
    [
        ("maxRestartsPerMinute", "max_restarts_per_minute"),
        ("maxConcurrentRollouts", "max_concurrent_rollouts"),
        ("leaseDuration", "lease_duration"),
    ],
)
def test_bounds_are_the_operators(value: str, option: str) -> None:
    """The chart's bounds are those that the operator has by itself."""
    defaults = {parameter.name: parameter.default for parameter in cli.run.params}

    assert VALUES[value] == defaults[option]


@pytest.mark.parametrize(("value", "option"), [("format", "log_format"), ("level", "log_level")])
def test_choices_are_the_operators(value: str, option: str) -> None:
    """The schema admits just the words that the operator takes."""
    options = {parameter.name: parameter.type for parameter in cli.run.params}
    admitted = SCHEMA["properties"]["log"]["properties"][value]["enum"]

    assert set(options[option].choices) == set(admitted)


def test_pod_has_nothing_to_write_to(render: Render) -> None:
    """The pod runs as an unprivileged user and writes only to an empty volume."""
    spec, operator = pod(render()), charts.container(render())

    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"]) == (65532, 65532)
    assert operator["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["volumes"] == [{"name": "tmp", "emptyDir": {}}]
    assert operator["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - its mount


def test_probes(render: Render) -> None:
    """Life and readiness are asked for at the port that the operator opens."""
    operator = charts.container(render())
    probes = {name: operator[name]["httpGet"] for name in ("livenessProbe", "readinessProbe")}

    assert probes == {
        "livenessProbe": {"path": "/healthz", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }
    assert operator["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]


def test_an_upgrade_has_a_standby_first(render: Render) -> None:
    """The new pod is ready before the old one ends; how many there are is said."""
    deployment = render(replicaCount=3)[Key("Deployment", NAME, charts.NAMESPACE)]["spec"]

    assert deployment["replicas"] == 3
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_no_service_is_a_setting(render: Render) -> None:
    """A Service in the same namespace can never set an INFISICAL_EVENTS_ variable."""
    assert pod(render())["enableServiceLinks"] is False


def test_image(render: Render) -> None:
    """The image is the release's own; a digest pins it."""
    digest = f"sha256:{'a' * 64}"
    chart = yaml.safe_load((charts.CHART / "Chart.yaml").read_text())
    own = f"{VALUES['image']['repository']}:{chart['appVersion']}"

    assert charts.container(render())["image"] == own
    assert charts.container(render(image={"digest": digest}))["image"] == f"{own}@{digest}"
    assert charts.container(render(image={"tag": "dev"}))["image"].endswith(":dev")


def test_pod_options(render: Render) -> None:
    """What a cluster demands of its pods can be said."""
    options = {
        "imagePullSecrets": [{"name": "registry"}],
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["infisical.example"]}],
        "dnsConfig": {"nameservers": ["10.1.2.4"], "options": [{"name": "ndots", "value": "1"}]},
    }
    found = render(**options, podLabels={"team": "a"}, podAnnotations={"note": "b"})
    metadata = found[Key("Deployment", NAME, charts.NAMESPACE)]["spec"]["template"]["metadata"]

    assert {name: pod(found)[name] for name in options} == options
    assert (metadata["labels"]["team"], metadata["annotations"]["note"]) == ("a", "b")


def test_deployment_options(render: Render) -> None:
    """What a cluster demands of Deployments can be said, and variables come from where they are kept."""
    source = {"secretRef": {"name": "proxy"}}
    found = render(deploymentAnnotations={"note": "a"}, revisionHistoryLimit=0, extraEnvFrom=[source])
    deployment = found[Key("Deployment", NAME, charts.NAMESPACE)]

    assert deployment["metadata"]["annotations"] == {"note": "a"}
    assert deployment["spec"]["revisionHistoryLimit"] == 0
    assert charts.container(found)["envFrom"] == [source]


def test_long_names_fit(helm: Path) -> None:
    """A long release name is cut where Kubernetes would refuse it."""
    on = "metrics.service.enabled=true,metrics.dashboard.enabled=true"
    text = charts.helm(helm, "template", "r" * 53, str(charts.CHART), "--set", on)

    assert max(len(key.name) for key in charts.objects(text) if "." not in key.name) <= 63


# -- the CRD --------------------------------------------------------------------------------------


def test_crd_is_the_one(render: Render) -> None:
    """The chart installs the CRD of crds/, unchanged, and keeps it by default."""
    crd = render()[Key("CustomResourceDefinition", schemas.CRD["metadata"]["name"])]

    assert crd["spec"] == schemas.CRD["spec"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_crd_can_be_left_out_or_removed(render: Render) -> None:
    """The CRD can be installed by other means, or go with the release."""
    key = Key("CustomResourceDefinition", schemas.CRD["metadata"]["name"])

    assert key not in render(crds={"enabled": False})
    assert "annotations" not in render(crds={"keep": False})[key]["metadata"]


def test_derived_files_are_fresh(helm: Path) -> None:
    """The chart's copy of the CRD and deploy/install.yaml are what deploy/render makes."""
    done = subprocess.run(  # noqa: S603 - our own script
        [charts.ROOT / "deploy" / "render", "--check"],
        env=os.environ | {"HELM": str(helm)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_install_manifest_is_the_chart(render: Render) -> None:
    """The one-file installation has the chart's objects and the namespace, and no trace of Helm."""
    text = (charts.ROOT / "deploy" / "install.yaml").read_text()
    found = charts.objects(text)

    assert set(found) == {*render(createDigestKey=False), Key("Namespace", charts.NAMESPACE)}
    assert charts.container(found) == charts.container(render())
    assert "helm" not in text.lower()


# -- as a package ---------------------------------------------------------------------------------


def test_versions_are_the_projects() -> None:
    """Chart, operator and package are released together."""
    chart = yaml.safe_load((charts.CHART / "Chart.yaml").read_text())
    project = tomllib.loads((charts.ROOT / "pyproject.toml").read_text())["project"]

    assert chart["version"] == chart["appVersion"] == project["version"]


def test_lint(helm: Path) -> None:
    """Helm has nothing to criticize."""
    assert "1 chart(s) linted, 0 chart(s) failed" in charts.helm(helm, "lint", "--strict", str(charts.CHART))
