"""A demo from beginning to end: one at a time, and nothing of it stays behind unless that is wished."""

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
from infisical_demo.environment import WATCHED, World, build
from infisical_demo.object_watch import watched
from infisical_demo.observer import Witness
from infisical_demo.process_guard import guarded
from infisical_demo.report import Story
from infisical_demo.state_folder import Folder
from infisical_demo.steps import Play
from local_cluster import state_layout


@dataclass(frozen=True, slots=True)
class Options:
    """`kubeconfig` names a cluster to use instead of the local one; `updates` are made for the figures."""

    kubeconfig: Path | None = None
    keep: bool = False
    updates: int = 20


def own_folder() -> Folder:
    """The demo's folder, beside what the local cluster writes."""
    return Folder(state_layout.default_state(os.environ) / "demo")


def perform(options: Options, story: Story) -> bool:
    """Show the demo and take everything away again; tell whether all of it was true.

    Raises:
        DemoError, ClusterError: it cannot be shown.
    """
    folder, started = own_folder(), time.monotonic()
    with folder.locked():
        if folder.clean():
            story.note("what an earlier demo had left running was stopped")
        folder.path.mkdir(mode=0o700)
        with guarded(folder), _cleaned(folder, options, story):
            story.heading("Setting up")
            world = build(folder, options.kubeconfig, story)
            asyncio.run(_play(world, story, options.updates))
            _conclude(story, time.monotonic() - started)
            if options.keep:
                _tell_what_runs(world, story)
    return not story.failures


def stop(story: Story) -> None:
    """Stop what a demo has left running.

    Raises:
        DemoError: a demo is running right now.
    """
    folder = own_folder()
    with folder.locked():
        story.note("the demo was stopped" if folder.clean() else "no demo was running")


async def _play(world: World, story: Story, updates: int) -> None:
    async with watched(world.kubectl.kubeconfig, world.kubectl.namespace, manifests.NAME) as objects:
        await Play(world, Witness(objects, world.infisical), story).run(updates)


@contextmanager
def _cleaned(folder: Folder, options: Options, story: Story) -> Iterator[None]:
    """Take everything away when the demo ends, in whatever way; not if it ends well and is to be kept."""
    is_played = False
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
        is_played = True
    finally:
        if not (is_played and options.keep):
            with story.waiting("stopping everything"):
                folder.clean()
            if options.kubeconfig:
                story.note("the CRD stays in the cluster; to remove it: kubectl delete -f crds/")


def _conclude(story: Story, seconds: float) -> None:
    story.heading("Result")
    story.note(f"{story.checks} expectations in {seconds:.0f} s")
    for failure in story.failures:
        story.fail_again(failure)
    if not story.failures:
        story.note("every one of them was met")


def _tell_what_runs(world: World, story: Story) -> None:
    kubectl, infisical = world.kubectl, world.infisical
    folder = world.operator.folder
    story.heading("Everything is left running. To play with it:")
    programs = f"{Path(sys.executable).parent}:{kubectl.binary.parent}"
    story.command(f"export KUBECONFIG={kubectl.kubeconfig} PATH={programs}:$PATH")
    story.command(f"export INFISICAL_SANDBOX_READY_FILE={folder.path / 'infisical.json'}")
    story.command(
        f"infisical-sandbox secrets set --env {infisical.environment} --path {WATCHED} DB_PASSWORD=other"
    )
    story.command(f"infisical-sandbox secrets list --env {infisical.environment} --recursive")
    story.command(kubectl.shown("get", "ies,deployments,pods"))
    story.command(kubectl.shown("describe", "ies", manifests.NAME))
    story.command(kubectl.shown("rollout", "history", f"deployment/{manifests.NAME}"))
    story.command(f"tail -f {world.operator.log}")
    story.command(f"curl http://127.0.0.1:{world.operator.port}/metrics")
    story.note("and to stop everything:")
    story.command("infisical-sandbox demo --stop")
