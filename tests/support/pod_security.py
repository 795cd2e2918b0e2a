"""The Pod Security Standard `restricted` as a check of the fields that it names.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/ (Baseline and Restricted, Linux).
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any

Spec = dict[str, Any]

_HOST = ("hostNetwork", "hostPID", "hostIPC")
_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"
}  # fmt: skip
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
}
_SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_PROFILES = {"RuntimeDefault", "Localhost"}


def violations(pod: Spec) -> list[str]:
    """Return the fields of a pod's spec that the standard forbids; empty for a restricted pod."""
    containers = chain.from_iterable(
        pod.get(kind, ()) for kind in ("initContainers", "containers", "ephemeralContainers")
    )
    found = [*_of_pod(pod), *chain.from_iterable(_of_container(pod, one) for one in containers)]
    return sorted(set(found))


def _of_pod(pod: Spec) -> Iterator[str]:
    yield from (name for name in _HOST if pod.get(name))
    for volume in pod.get("volumes", ()):
        yield from (f"volumes: {kind}" for kind in volume.keys() - _VOLUMES - {"name"})
    context = pod.get("securityContext", {})
    yield from (f"sysctls: {s['name']}" for s in context.get("sysctls", ()) if s["name"] not in _SYSCTLS)
    yield from _of_any(context)


def _of_container(pod: Spec, container: Spec) -> Iterator[str]:
    own = container.get("securityContext", {})
    context = pod.get("securityContext", {}) | own
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if context.get("runAsNonRoot") is not True:
        yield "runAsNonRoot"
    if context.get("seccompProfile", {}).get("type") not in _PROFILES:
        yield "seccompProfile"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield "capabilities: drop"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities: add"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "hostPort"
    yield from _of_any(own)


def _of_any(context: Spec) -> Iterator[str]:
    """Yield the violations that security contexts of pods and of containers share."""
    if context.get("runAsUser") == 0:
        yield "runAsUser"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield "seLinuxOptions"
    if context.get("appArmorProfile", {"type": "RuntimeDefault"})["type"] not in _PROFILES:
        yield "appArmorProfile"
