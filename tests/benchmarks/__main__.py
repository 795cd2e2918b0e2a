# ruff: noqa: T201 - a program that prints
"""`make bench` (`python -m benchmarks`): what the operator's process costs, and how fast it is.

Every part starts what it needs: a real control plane, a local Infisical with TLS and the operator, each in
processes of their own. Progress is on standard error, the table on standard output. `docs/performance.md`
explains each figure. Figures of one machine and one run: compare within a run only.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.environment import Bench, bench_in
from benchmarks.fan_out import measure_fan_out
from benchmarks.figures import Measurement, table
from benchmarks.large_projects import measure_keys
from benchmarks.latency import measure_latency
from benchmarks.scale import measure_scale
from e2e.faults.program import control_plane, exit_code, matches, run, say, scratch_folder

Part = Callable[[Bench], Measurement]
progress = partial(say, to=sys.stderr)


def parts_of(options: argparse.Namespace) -> dict[str, Part]:
    """The parts by name, in the order in which they run."""
    return {
        "latency": lambda bench: measure_latency(bench, options.changes),
        "scale": lambda bench: measure_scale(bench, options.subscriptions, options.idle_seconds),
        "keys": lambda bench: measure_keys(bench, options.keys),
        "fan-out": lambda bench: measure_fan_out(bench, options.workloads, options.crowd),
    }


def run_parts(parts: Mapping[str, Part]) -> tuple[dict[str, Measurement], bool]:
    """The measurements of the parts that could be run, and whether all could."""
    measured = {}
    with scratch_folder("infisical-bench-") as folder:
        with control_plane(folder, audit_log=True) as cluster:
            bench = bench_in(cluster, folder, progress)
            for name, part in parts.items():
                progress(f"{name} begins")
                try:
                    measured[name] = part(bench)
                except (AssertionError, OSError) as error:
                    progress(f"{name} failed: {type(error).__name__}: {error}")
        return measured, not exit_code(folder, has_passed=len(measured) == len(parts))


def main() -> int:
    """Return exit code 1 if a part could not be run, or with --strict if a bound is broken."""
    options = _parser().parse_args()
    parts = {
        name: part
        for name, part in parts_of(options).items()
        if not options.only or matches(name, options.only)
    }
    if not parts:
        print("no part has this name; the parts are:", *parts_of(options), sep="\n  ")
        return 2
    measured, is_complete = run_parts(parts)
    figures = [figure for one in measured.values() for figure in one.figures]
    print(f"\n{table(figures)}\n")
    if options.out:
        write(options.out, measured)
    return 0 if is_complete and not (options.strict and any(one.holds is False for one in figures)) else 1


def write(file: Path, measured: Mapping[str, Measurement]) -> None:
    """Keep all figures as JSON, with the machine: a loaded one shows in the floor, too."""
    machine = {"cores": os.cpu_count(), "load": os.getloadavg()}
    kept = {"machine": machine} | {
        name: {"figures": [figure.as_json() for figure in one.figures], "details": one.details}
        for name, one in measured.items()
    }
    file.write_text(json.dumps(kept, indent=2) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help="names or patterns of parts, separated by spaces")
    parser.add_argument("--out", type=Path, help="file for all figures, as JSON")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a bound is broken")
    parser.add_argument("--changes", type=int, default=200, help="changes of the part latency")
    parser.add_argument(
        "--subscriptions", type=numbers, default=(1, 100, 300, 1000), help="sizes of the part scale"
    )
    parser.add_argument("--idle-seconds", type=float, default=30, help="duration of rest in the part scale")
    parser.add_argument(
        "--keys", type=numbers, default=(10, 1000, 10_000, 40_000), help="sizes of the part keys"
    )
    parser.add_argument(
        "--workloads", type=numbers, default=(10, 100, 1000), help="sizes of the part fan-out"
    )
    parser.add_argument(
        "--crowd",
        type=int,
        default=10_000,
        help="workloads of the large namespace of the part fan-out; 0: none",
    )
    return parser


def numbers(text: str) -> tuple[int, ...]:
    """Numbers separated by spaces or commas."""
    return tuple(map(int, text.replace(",", " ").split()))


if __name__ == "__main__":
    run(main)
