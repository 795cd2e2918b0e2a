"""Runs one demo from setup to cleanup. One demo runs at a time, and `--keep` alone skips the cleanup."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infisical_demo import manifests
from infisical_demo.demo_guard import guard
from infisical_demo.environment import WATCHED, DemoEnvironment, build
from infisical_demo.object_watch import watch_objects
from infisical_demo.observer import Observer
from infisical_demo.report import Report
from infisical_demo.state_folder import StateFolder
from infisical_demo.steps import Steps
from local_cluster import state_layout


@dataclass(frozen=True, slots=True)
class Options:
    """`kubeconfig`: a cluster to use instead of the local one; `updates`: number per latency."""

    kubeconfig: Path | None = None
    keep: bool = False
    updates: int = 20


def own_folder() -> StateFolder:
    """The demo's state folder, inside that of the local cluster."""
    return StateFolder(state_layout.default_state(os.environ) / "demo")


def run_demo(options: Options, report: Report) -> bool:
    """Run the demo and clean up; return True if all checks passed.

    Raises:
        DemoError, ClusterError: the demo cannot run; the message says why.
    """
    folder, started = own_folder(), time.monotonic()
    with folder.locked():
        if folder.clean():
            report.note("stopped an earlier demo that was still running")
        folder.path.mkdir(mode=0o700)
        with guard(folder), _cleaned(folder, options, report):
            report.heading("Setup")
            environment = build(folder, options.kubeconfig, report)
            asyncio.run(_run_steps(environment, report, options.updates))
            _report_result(report, time.monotonic() - started)
            if options.keep:
                _report_running(environment, report)
    return not report.failures


def stop(report: Report) -> None:
    """Stop a demo that `--keep` left running.

    Raises:
        DemoError: a demo is still in progress.
    """
    folder = own_folder()
    with folder.locked():
        report.note("stopped the demo" if folder.clean() else "no demo was running")


async def _run_steps(environment: DemoEnvironment, report: Report, updates: int) -> None:
    async with watch_objects(
        environment.kubectl.kubeconfig, environment.kubectl.namespace, manifests.NAME
    ) as objects:
        await Steps(environment, Observer(objects, environment.infisical), report).run(updates)


@contextmanager
def _cleaned(folder: StateFolder, options: Options, report: Report) -> Iterator[None]:
    """Clean up when the demo ends, also after an error or a signal; keep a completed demo with `--keep`."""
    is_complete = False
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
        is_complete = True
    finally:
        if not (is_complete and options.keep):
            with report.waiting("cleaning up"):
                folder.clean()
            if options.kubeconfig:
                report.note("the CRD is still installed; to remove it: kubectl delete -f crds/")


def _report_result(report: Report, seconds: float) -> None:
    report.heading("Result")
    passed = report.checks - len(report.failures)
    report.note(f"{passed} of {report.checks} checks passed in {seconds:.0f} s")
    for failure in report.failures:
        report.repeat_failure(failure)


def _report_running(environment: DemoEnvironment, report: Report) -> None:
    kubectl, infisical = environment.kubectl, environment.infisical
    folder = environment.operator.folder
    report.heading("The demo is still running. Try:")
    programs = f"{Path(sys.executable).parent}:{kubectl.binary.parent}"
    report.command(f"export KUBECONFIG={kubectl.kubeconfig} PATH={programs}:$PATH")
    report.command(f"export INFISICAL_SANDBOX_READY_FILE={folder.path / 'infisical.json'}")
    report.command(
        f"infisical-sandbox secrets set --env {infisical.environment_slug} --path {WATCHED} DB_PASSWORD=other"
    )
    report.command(f"infisical-sandbox secrets list --env {infisical.environment_slug} --recursive")
    report.command(kubectl.command_line("get", "ies,deployments,pods"))
    report.command(kubectl.command_line("describe", "ies", manifests.NAME))
    report.command(kubectl.command_line("rollout", "history", f"deployment/{manifests.NAME}"))
    report.command(f"tail -f {environment.operator.log}")
    report.command(f"curl http://127.0.0.1:{environment.operator.port}/metrics")
    report.note("to stop it:")
    report.command("infisical-sandbox demo --stop")
