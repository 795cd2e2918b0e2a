"""`infisical-events validate`: what is wrong with manifests, before they are applied. It needs no cluster."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from infisical_events.api.resources import VERSION
from infisical_events.cli.exit_codes import ExitCode
from infisical_events.cli.help_texts import examples
from infisical_events.cli.manifest_files import (
    FileManifest,
    UnreadableError,
    read_crd,
    read_manifests,
)
from infisical_events.cli.output import OutputFormat, output_option, print_data
from infisical_events.core.egress.address_allowlist import EgressPolicy
from infisical_events.core.status.text import counted, escaped
from infisical_events.core.validation.crd_schema import spec_schema_of
from infisical_events.core.validation.findings import Finding, Severity, error, place_text
from infisical_events.core.validation.manifests import manifest_findings
from infisical_events.core.validation.subscription_checks import ANY_ADDRESS


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one call."""

    findings: Sequence[tuple[FileManifest, Finding]]
    checked: int
    ignored: int

    def count(self, severity: Severity) -> int:
        """The number of findings of one severity."""
        return sum(finding.severity is severity for _, finding in self.findings)

    @property
    def summary(self) -> str:
        """`2 objects checked, 5 ignored: 1 error, no warnings`, right in number."""
        found = " and ".join(counted(self.count(severity), severity.value) for severity in Severity)
        return f"{counted(self.checked, 'object')} checked, {self.ignored} of other kinds ignored: {found}"


@click.command(
    epilog=examples(
        "validate deploy/",
        "validate --strict -o json rendered.yaml",
        "validate -   # after a pipe, as of `helm template charts/shop`",
    )
)
@click.argument("paths", nargs=-1, required=True, metavar="FILE|FOLDER|-...")
@click.option("--strict", is_flag=True, help="Exit with code 1 for warnings as well.")
@click.option(
    "--allowed-address",
    "allowed_addresses",
    multiple=True,
    help="As the operator's --allowed-address: report addresses that it does not allow; repeatable. "
    "Default: all addresses are allowed.",
)
@output_option
def validate(
    paths: tuple[str, ...], *, strict: bool, allowed_addresses: tuple[str, ...], output: OutputFormat
) -> None:
    """Check manifests without a cluster: subscriptions, and annotations of workloads.

    A subscription is checked as `kubectl apply` checks it, and as the operator checks it afterwards. An
    error is what one of them rejects, a warning is what may not be meant. Other kinds are ignored. In
    .pre-commit-config.yaml, use the hook `infisical-events-validate` of this repository.
    """
    egress = EgressPolicy(allowed_addresses) if allowed_addresses else ANY_ADDRESS
    try:
        report = _report(tuple(read_manifests(paths)), egress)
    except UnreadableError as unreadable:
        click.echo(f"Error: {escaped(str(unreadable))}", err=True)
        sys.exit(ExitCode.USAGE)
    _print(report, output)
    is_bad = report.count(Severity.ERROR) or (strict and report.count(Severity.WARNING))
    sys.exit(ExitCode.FOUND if is_bad else ExitCode.OK)


def _report(manifests: tuple[FileManifest, ...], egress: EgressPolicy) -> Report:
    checked = [each for each in manifests if each.is_checked]
    schema = spec_schema_of(read_crd(), VERSION)
    found = [*_repeated(checked)]
    for manifest, finding in manifest_findings(checked, schema, egress):
        if isinstance(manifest, FileManifest):
            found.append((manifest, finding))
    places = {id(manifest): number for number, manifest in enumerate(checked)}
    found.sort(key=lambda each: (places[id(each[0])], each[0].line_of(each[1].place)))
    return Report(found, len(checked), len(manifests) - len(checked))


def _repeated(manifests: Sequence[FileManifest]) -> Iterator[tuple[FileManifest, Finding]]:
    for manifest in manifests:
        for place in manifest.repeated_keys:
            yield manifest, error(place, "the key occurs twice: remove one of them")


def _print(report: Report, output: OutputFormat) -> None:
    if output is not OutputFormat.TABLE:
        print_data(_data(report), output)
        return
    for manifest, finding in report.findings:
        line = manifest.line_of(finding.place)
        place = place_text(finding.place)
        text = f"{manifest.file}:{line}: {manifest.title}: {place}: {finding.severity}: {finding.message}"
        click.echo(escaped(text))
    click.echo(report.summary)


def _data(report: Report) -> dict[str, object]:
    return {
        "findings": [
            {
                "severity": finding.severity.value,
                "file": manifest.file,
                "line": manifest.line_of(finding.place),
                "kind": manifest.kind,
                "namespace": manifest.namespace,
                "name": manifest.name,
                "field": place_text(finding.place),
                "message": finding.message,
            }
            for manifest, finding in report.findings
        ],
        "checked": report.checked,
        "ignored": report.ignored,
        "errors": report.count(Severity.ERROR),
        "warnings": report.count(Severity.WARNING),
    }
