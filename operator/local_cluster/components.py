"""The command line of every component: pure functions of the state folder and the ports."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_cluster import state_layout
from local_cluster.state_layout import Layout

LOOPBACK = "127.0.0.1"
# The listening sockets; each keeps its port for the life of the cluster.
PORT_NAMES = ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
# The components that need a kubeconfig of their own.
CLIENTS = ("kube-controller-manager", "kube-scheduler", "kwok")
_SERVICE_RANGE = "10.0.0.0/16"
_POD_RANGE = "10.1.0.0/16"
# Far above the load of a demo or a test: client-side throttling would only slow rollouts down.
_UNTHROTTLED = ("--kube-api-qps=300", "--kube-api-burst=600")
# So large that no new file replaces the log: its reader would miss requests.
_AUDIT_MEGABYTES = 100_000


@dataclass(frozen=True, slots=True)
class Component:
    """One process of the control plane; `health` is the path of its health check at `port` (0: none)."""

    name: str
    arguments: tuple[str, ...]
    port: int = 0
    health: str = "/healthz"


def components(layout: Layout, ports: Mapping[str, int], *, audit_log: bool = False) -> tuple[Component, ...]:
    """Return the components in the order of their start."""
    return (
        _etcd(layout, ports),
        _apiserver(layout, ports, audit_log=audit_log),
        _controller_manager(layout, ports["kube-controller-manager"]),
        _scheduler(layout, ports["kube-scheduler"]),
        _kwok(layout),
    )


def url(port: int) -> str:
    """Return the https base url of a port."""
    return f"https://{LOOPBACK}:{port}"


def _etcd(layout: Layout, ports: Mapping[str, int]) -> Component:
    client, peer = url(ports["etcd"]), url(ports["etcd-peer"])
    server, trust = _pair(layout, "server"), str(layout.certificates / "ca.crt")
    arguments = (
        f"--data-dir={layout.data}",
        "--unsafe-no-fsync",  # `down` removes the data anyway, so a loss at a power cut is acceptable
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        # Without client certificates every local user could read every Secret here.
        "--client-cert-auth",
        f"--trusted-ca-file={trust}",
        f"--cert-file={server[0]}",
        f"--key-file={server[1]}",
        "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={trust}",
        f"--peer-cert-file={server[0]}",
        f"--peer-key-file={server[1]}",
        "--log-level=warn",
    )
    return Component("etcd", arguments)


def _apiserver(layout: Layout, ports: Mapping[str, int], *, audit_log: bool) -> Component:
    folder, (certificate, key) = layout.certificates, _pair(layout, "server")
    audit = (
        f"--audit-policy-file={state_layout.AUDIT_POLICY}",
        f"--audit-log-path={layout.audit}",
        f"--audit-log-maxsize={_AUDIT_MEGABYTES}",
    )
    arguments = (
        *_serving(layout, ports["kube-apiserver"]),
        f"--advertise-address={LOOPBACK}",
        f"--etcd-servers={url(ports['etcd'])}",
        f"--etcd-cafile={folder / 'ca.crt'}",
        f"--etcd-certfile={certificate}",
        f"--etcd-keyfile={key}",
        f"--client-ca-file={folder / 'ca.crt'}",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'sa.pub'}",
        f"--service-account-signing-key-file={folder / 'sa.key'}",
        f"--service-cluster-ip-range={_SERVICE_RANGE}",
        "--endpoint-reconciler-type=none",  # no pod could reach a loopback address anyway
        "--allow-privileged",
        *(audit if audit_log else ()),
    )
    return Component("kube-apiserver", arguments, ports["kube-apiserver"], "/readyz")


def _controller_manager(layout: Layout, port: int) -> Component:
    name = "kube-controller-manager"
    arguments = (
        *_serving(layout, port),
        *_delegating(layout, name),
        *_UNTHROTTLED,
        f"--root-ca-file={layout.certificates / 'ca.crt'}",
        f"--service-account-private-key-file={layout.certificates / 'sa.key'}",
        "--use-service-account-credentials",
    )
    return Component(name, arguments, port)


def _scheduler(layout: Layout, port: int) -> Component:
    name = "kube-scheduler"
    arguments = (*_serving(layout, port), *_delegating(layout, name), *_UNTHROTTLED)
    return Component(name, arguments, port)


def _kwok(layout: Layout) -> Component:
    arguments = (
        f"--kubeconfig={layout.kubeconfigs / 'kwok'}",
        f"--config={state_layout.STAGES}",
        "--manage-all-nodes",
        f"--cidr={_POD_RANGE}",
        f"--node-ip={LOOPBACK}",
        "--node-lease-duration-seconds=40",
    )
    return Component("kwok", arguments)


def _serving(layout: Layout, port: int) -> tuple[str, ...]:
    certificate, key = _pair(layout, "server")
    return (
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        "--profiling=false",
    )


def _delegating(layout: Layout, name: str) -> tuple[str, ...]:
    kubeconfig = layout.kubeconfigs / name
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
    )


def _pair(layout: Layout, identity: str) -> tuple[Path, Path]:
    folder = layout.certificates
    return folder / f"{identity}.crt", folder / f"{identity}.key"
