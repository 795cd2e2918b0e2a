"""What the chart adds when it is asked to: each object on and off, and what stands in it."""

import json
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import yaml

from support import charts, pod_security
from support.charts import Key, Manifest, Objects

Render = Callable[..., Objects]

NAME, HOME = charts.RELEASE, charts.NAMESPACE
EXTRA = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "mine"},
    "data": {"a": "{{ .Release.Name }}"},
}
PEERS = [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}]
EVERYTHING: dict[str, Any] = {
    "metrics": {
        "service": {"enabled": True, "annotations": {"note": "a"}},
        "serviceMonitor": {
            "enabled": True,
            "labels": {"release": "a"},
            "interval": "15s",
            "scrapeTimeout": "5s",
            "relabelings": [{"targetLabel": "cluster", "replacement": "a"}],
            "metricRelabelings": [{"action": "drop", "regex": "python_.*", "sourceLabels": ["__name__"]}],
        },
        "prometheusRule": {
            "enabled": True,
            "labels": {"release": "a"},
            "disabled": ["InfisicalEventsStreamFlapping"],
            "runbookBaseUrl": "https://git.example.com/infisical-events/blob/main/",
        },
        "dashboard": {"enabled": True, "labels": {"folder": "a"}, "annotations": {"note": "a"}},
    },
    "networkPolicy": {
        "enabled": True,
        "metricsFrom": PEERS,
        "dnsTo": [{"namespaceSelector": {}}],
        "dnsPorts": [53, 5353],
        "apiServer": {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [8443]},
        "infisical": {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [443, 8080]},
        "extraEgress": [{"ports": [{"port": 3128}]}],
    },
    "podDisruptionBudget": {"enabled": True, "maxUnavailable": "50%"},
    "extraEnv": [{"name": "SSL_CERT_FILE", "value": "/ca/ca.crt"}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "mine"}},
        },
    ],
    "extraObjects": [EXTRA],
}
"""Every option that adds something, each with all that can be said of it."""


@pytest.fixture
def everything(render: Render) -> Objects:
    """The chart with every option."""
    return render(**EVERYTHING)


def pod(found: Objects) -> Manifest:
    """The pod's spec."""
    spec: Manifest = found[Key("Deployment", NAME, HOME)]["spec"]["template"]["spec"]
    return spec


def selects_the_pod(found: Objects, labels: Manifest) -> bool:
    """Whether a selector finds the operator's pods."""
    template = found[Key("Deployment", NAME, HOME)]["spec"]["template"]
    return bool(labels) and labels.items() <= template["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("values", "added"),
    [
        ({"metrics": {"service": {"enabled": True}}}, {("Service", f"{NAME}-metrics")}),
        (
            {"metrics": {"serviceMonitor": {"enabled": True}}},
            {("Service", f"{NAME}-metrics"), ("ServiceMonitor", NAME)},
        ),
        ({"metrics": {"podMonitor": {"enabled": True}}}, {("PodMonitor", NAME)}),
        ({"metrics": {"prometheusRule": {"enabled": True}}}, {("PrometheusRule", NAME)}),
        ({"metrics": {"dashboard": {"enabled": True}}}, {("ConfigMap", f"{NAME}-dashboard")}),
        ({"networkPolicy": {"enabled": True}}, {("NetworkPolicy", NAME)}),
        ({"podDisruptionBudget": {"enabled": True}}, {("PodDisruptionBudget", NAME)}),
    ],
    ids=lambda value: "/".join(kind for kind, _ in sorted(value)) if isinstance(value, set) else "",
)
def test_each_option_adds_its_object(render: Render, values: Manifest, added: set[tuple[str, str]]) -> None:
    """An option adds what it names, into the release's namespace, and leaves all else as it is."""
    without_key = {"createDigestKey": False}  # it is random
    usual, found = render(**without_key), render(**values, **without_key)

    assert set(found) - set(usual) == {Key(kind, name, HOME) for kind, name in added}
    assert {key: found[key] for key in usual} == usual


def test_every_object_is_the_releases(everything: Objects) -> None:
    """Each object says which release it belongs to, but for those that the user wrote himself."""
    owners = {
        key: manifest["metadata"].get("labels", {}).get("app.kubernetes.io/instance")
        for key, manifest in everything.items()
        if key.name != "mine"
    }

    assert set(owners.values()) == {NAME}


def test_every_object_has_the_common_labels(render: Render) -> None:
    """So have the pods, by which they are not selected; a label of the object's own wins."""
    found = render(**EVERYTHING, commonLabels={"team": "a", "release": "b"}, podLabels={"release": "c"})
    labels = {key: o["metadata"].get("labels", {}) for key, o in found.items() if key.name != "mine"}
    deployment = found[Key("Deployment", NAME, HOME)]["spec"]

    assert {key for key, own in labels.items() if own.get("team") != "a"} == set()
    assert labels[Key("ServiceMonitor", NAME, HOME)]["release"] == "a"
    assert deployment["template"]["metadata"]["labels"].items() >= {"team": "a", "release": "c"}.items()
    assert "team" not in deployment["selector"]["matchLabels"]


@pytest.mark.parametrize(
    "values", [{}, EVERYTHING, {"podSecurityContext": {"runAsUser": None, "runAsGroup": None}}]
)
def test_pods_are_restricted(render: Render, values: Manifest) -> None:
    """Whatever is chosen, the pod fits the Pod Security Standard `restricted`."""
    assert pod_security.violations(pod(render(**values))) == []


def test_platform_may_choose_the_user(render: Render) -> None:
    """Null takes a default away, for platforms that assign users themselves."""
    context = pod(render(podSecurityContext={"runAsUser": None, "runAsGroup": None}))["securityContext"]

    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


# -- metrics --------------------------------------------------------------------------------------


def test_service_finds_the_pods(everything: Objects) -> None:
    """The Service leads to the operator's port."""
    service = everything[Key("Service", f"{NAME}-metrics", HOME)]

    assert selects_the_pod(everything, service["spec"]["selector"])
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    assert service["metadata"]["annotations"] == {"note": "a"}


def test_service_monitor_finds_the_service(everything: Objects) -> None:
    """It selects the Service and its port; what the metrics call a namespace stays what it is."""
    monitor = everything[Key("ServiceMonitor", NAME, HOME)]
    service = everything[Key("Service", f"{NAME}-metrics", HOME)]
    asked = EVERYTHING["metrics"]["serviceMonitor"]

    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"] == [
        {
            "port": "http",
            "path": "/metrics",
            "honorLabels": True,
            **{name: value for name, value in asked.items() if name not in {"enabled", "labels"}},
        }
    ]
    assert monitor["metadata"]["labels"]["release"] == "a"


def test_pod_monitor_finds_the_pods(render: Render) -> None:
    """It needs no Service."""
    found = render(metrics={"podMonitor": {"enabled": True, "labels": {"release": "a"}, "interval": "1m"}})
    monitor = found[Key("PodMonitor", NAME, HOME)]

    assert selects_the_pod(found, monitor["spec"]["selector"]["matchLabels"])
    assert monitor["spec"]["podMetricsEndpoints"] == [
        {"port": "http", "path": "/metrics", "honorLabels": True, "interval": "1m"}
    ]
    assert monitor["metadata"]["labels"]["release"] == "a"


def test_nothing_is_scraped_twice(render: Render) -> None:
    """Both monitors together are refused with a sentence."""
    with pytest.raises(charts.HelmError, match="scrape the same pods twice"):
        render(metrics={"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}})


def test_rule_has_the_alerts(everything: Objects, render: Render) -> None:
    """The PrometheusRule is the rule file, less what was left out."""
    file = yaml.safe_load((charts.CHART / "files" / "alerts.yaml").read_text())
    whole = render(metrics={"prometheusRule": {"enabled": True}})[Key("PrometheusRule", NAME, HOME)]
    rule = everything[Key("PrometheusRule", NAME, HOME)]
    (group,) = rule["spec"]["groups"]

    assert whole["spec"] == file
    assert {alert["alert"] for alert in file["groups"][0]["rules"]} - {
        a["alert"] for a in group["rules"]
    } == {"InfisicalEventsStreamFlapping"}
    assert rule["metadata"]["labels"]["release"] == "a"
    base = "https://git.example.com/infisical-events/blob/main/docs/runbooks.md#"
    assert {alert["annotations"]["runbook_url"] for alert in group["rules"]} == {
        f"{base}{alert['alert'].lower()}" for alert in group["rules"]
    }


@pytest.mark.parametrize(
    ("monitor", "job"), [("serviceMonitor", f"{NAME}-metrics"), ("podMonitor", f"{HOME}/{NAME}")]
)
def test_absence_is_that_of_the_release(render: Render, monitor: str, job: str) -> None:
    """With a monitor of the chart no other installation keeps the alert silent when this one is gone."""
    found = render(metrics={"prometheusRule": {"enabled": True}, monitor: {"enabled": True}})
    (group,) = found[Key("PrometheusRule", NAME, HOME)]["spec"]["groups"]
    (absent,) = (rule for rule in group["rules"] if rule["alert"] == "InfisicalEventsAbsent")

    assert absent["expr"] == f'absent(infisical_events_subscriptions{{namespace="{HOME}", job="{job}"}})'


def test_dashboard_is_the_file(everything: Objects) -> None:
    """Grafana's sidecar gets the dashboard as it is, and finds it by its label."""
    dashboard = everything[Key("ConfigMap", f"{NAME}-dashboard", HOME)]
    file = json.loads((charts.CHART / "files" / "dashboard.json").read_text())

    assert [json.loads(text) for text in dashboard["data"].values()] == [file]
    assert {"grafana_dashboard": "1", "folder": "a"}.items() <= dashboard["metadata"]["labels"].items()
    assert dashboard["metadata"]["annotations"] == {"note": "a"}


# -- the pod among others -------------------------------------------------------------------------


def test_network_policy_by_default(render: Render) -> None:
    """Both directions are closed but for names, the API server, Infisical, and the port that is asked."""
    found = render(networkPolicy={"enabled": True})
    policy = found[Key("NetworkPolicy", NAME, HOME)]["spec"]

    assert selects_the_pod(found, policy["podSelector"]["matchLabels"])
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]
    assert policy["egress"] == [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
        {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]},
        {"ports": [{"port": 443, "protocol": "TCP"}]},
    ]


def test_network_policy_narrowed(everything: Objects) -> None:
    """Each way can be bound to peers and ports, and others added."""
    policy = everything[Key("NetworkPolicy", NAME, HOME)]["spec"]
    dns, api_server, infisical, proxy = policy["egress"]

    assert [rule["from"] for rule in policy["ingress"]] == [PEERS]
    assert dns["to"] == [{"namespaceSelector": {}}]
    assert {(port["port"], port["protocol"]) for port in dns["ports"]} == set(
        product((53, 5353), ("UDP", "TCP"))
    )
    assert api_server == {
        "ports": [{"port": 8443, "protocol": "TCP"}],
        "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
    }
    assert [port["port"] for port in infisical["ports"]] == [443, 8080]
    assert infisical["to"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    assert proxy == {"ports": [{"port": 3128}]}


@pytest.mark.parametrize(
    ("values", "bound"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"maxUnavailable": "50%"}, {"maxUnavailable": "50%"}),
        ({"maxUnavailable": 0}, {"maxUnavailable": 0}),
        ({"minAvailable": 0}, {"minAvailable": 0}),
        ({"minAvailable": "50%"}, {"minAvailable": "50%"}),
    ],
)
def test_disruption_budget(render: Render, values: Manifest, bound: Manifest) -> None:
    """It bounds what a drain takes of the operator's pods, and never protects a broken one."""
    found = render(podDisruptionBudget={"enabled": True, **values})
    budget = found[Key("PodDisruptionBudget", NAME, HOME)]["spec"]

    assert selects_the_pod(found, budget["selector"]["matchLabels"])
    assert budget == {
        "selector": budget["selector"],
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        **bound,
    }


def test_spread(everything: Objects) -> None:
    """A constraint without a selector means the operator's own pods: without any it would mean none."""
    ours, theirs = pod(everything)["topologySpreadConstraints"]

    assert selects_the_pod(everything, ours["labelSelector"]["matchLabels"])
    assert (ours["maxSkew"], ours["whenUnsatisfiable"]) == (1, "ScheduleAnyway")
    assert theirs == EVERYTHING["topologySpreadConstraints"][1]


def test_more_volumes_and_variables(everything: Objects) -> None:
    """They come beside the operator's own."""
    container = charts.container(everything)

    assert pod(everything)["volumes"] == [{"name": "tmp", "emptyDir": {}}, *EVERYTHING["extraVolumes"]]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp", "/ca"]  # noqa: S108 - its mount
    assert container["env"][1:] == EVERYTHING["extraEnv"]


def test_more_objects(render: Render) -> None:
    """A mapping or a text is an object of the release, and its templates are rendered."""
    text = yaml.safe_dump(EXTRA | {"metadata": {"name": "text"}})
    found = render(extraObjects=[EXTRA, text])

    assert found[Key("ConfigMap", "mine")]["data"] == {"a": NAME}
    assert found[Key("ConfigMap", "text")]["data"] == {"a": NAME}
