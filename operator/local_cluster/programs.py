"""The programs of the local control plane: versions, release urls and build parameters.

An upgrade changes this file and `deploy/local/programs/*/go.mod`; a test compares the two.
"""

import os
from dataclasses import dataclass

from local_cluster import errors

KUBERNETES = "1.37.2"
ETCD = "3.7.3"
KWOK = "0.8.0"
HELM = "4.3.1"


@dataclass(frozen=True, slots=True)
class Release:
    """The publisher's download of a program. Urls and members may contain `{platform}`.

    Exactly one of `checksum_url` (a file of the publisher with a line `<sha256>[  <file>]`) and
    `checksums` (platform to sha256, for a publisher without such a file) is set.
    """

    url: str
    checksum_url: str = ""
    checksums: tuple[tuple[str, str], ...] = ()
    member: str = ""  # path inside the .tar.gz; empty: the download is the program itself


@dataclass(frozen=True, slots=True)
class Program:
    """One program: `version` without "v", `package` in the Go module folder `module`."""

    name: str
    version: str
    module: str
    package: str
    variables: tuple[tuple[str, str], ...]  # Go variables that carry the version
    release: Release
    build_seconds: int  # measured on two cores with an empty build cache


def platform() -> str:
    """Return the platform of this machine: `linux-amd64` or `linux-arm64`.

    Raises:
        ClusterError: another platform, for which Kubernetes publishes no control plane.
    """
    machine = os.uname()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine.machine)
    if machine.sysname != "Linux" or not architecture:
        raise errors.ClusterError(
            f"the local control plane runs on Linux amd64 and arm64, not on {machine.sysname} "
            f"{machine.machine}. Use another cluster, for example: make demo KUBECONFIG=FILE"
        )
    return f"linux-{architecture}"


def version_key(of_platform: str) -> str:
    """Return the name of the cache folder, which has all versions and the platform."""
    return f"kubernetes-{KUBERNETES}-etcd-{ETCD}-kwok-{KWOK}-helm-{HELM}-{of_platform}"


def _kubernetes_variables() -> tuple[tuple[str, str], ...]:
    # Without these a build has the version v0.0.0-master, which clients and Helm's kubeVersion reject.
    major, minor, _ = KUBERNETES.split(".")
    values = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitCommit": "",
        "gitTreeState": "archive",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return tuple((f"{p}.{name}", value) for p in packages for name, value in values.items())


def _kubernetes(name: str, build_seconds: int) -> Program:
    url = f"https://dl.k8s.io/v{KUBERNETES}/bin/{{platform}}/{name}"
    return Program(
        name=name,
        version=KUBERNETES,
        module="kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        variables=_kubernetes_variables(),
        release=Release(url=url, checksum_url=f"{url}.sha256"),
        build_seconds=build_seconds,
    )


_ETCD_FILES = f"https://github.com/etcd-io/etcd/releases/download/v{ETCD}"
_ETCD_NAME = f"etcd-v{ETCD}-{{platform}}"
_KWOK_FILES = f"https://github.com/kubernetes-sigs/kwok/releases/download/v{KWOK}"
_HELM_FILE = f"https://get.helm.sh/helm-v{HELM}-{{platform}}.tar.gz"

_ETCD_PROGRAM = Program(
    name="etcd",
    version=ETCD,
    module="etcd",
    package="go.etcd.io/etcd/server/v3",
    variables=(),
    release=Release(
        url=f"{_ETCD_FILES}/{_ETCD_NAME}.tar.gz",
        checksum_url=f"{_ETCD_FILES}/SHA256SUMS",
        member=f"{_ETCD_NAME}/etcd",
    ),
    build_seconds=20,
)
_KWOK_PROGRAM = Program(
    name="kwok",
    version=KWOK,
    module="kwok",
    package="sigs.k8s.io/kwok/cmd/kwok",
    variables=(("sigs.k8s.io/kwok/pkg/consts.Version", KWOK),),
    release=Release(
        url=f"{_KWOK_FILES}/kwok-{{platform}}",
        # kwok publishes no checksum files; these two are what distributions pin for 0.8.0.
        checksums=(
            ("linux-amd64", "f5a4385a2ae1b9dd7f8acae18e002a75c0ebba124ae9d7259aa8dadb50711f46"),
            ("linux-arm64", "628f7d277860f524a2a775c217adcc58828e7b59ab0933680315784f1b8b0e37"),
        ),
    ),
    build_seconds=60,
)
_HELM_PROGRAM = Program(
    name="helm",
    version=HELM,
    module="helm",
    package="helm.sh/helm/v4/cmd/helm",
    variables=(("helm.sh/helm/v4/internal/version.version", f"v{HELM}"),),
    release=Release(url=_HELM_FILE, checksum_url=f"{_HELM_FILE}.sha256sum", member="{platform}/helm"),
    build_seconds=90,
)

PROGRAMS: tuple[Program, ...] = (
    _ETCD_PROGRAM,
    _kubernetes("kube-apiserver", 250),
    _kubernetes("kube-controller-manager", 80),
    _kubernetes("kube-scheduler", 10),
    _kubernetes("kubectl", 20),
    _KWOK_PROGRAM,
    _HELM_PROGRAM,
)
