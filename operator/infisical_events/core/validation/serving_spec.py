"""Whether a stored spec can be served: it is parsed, validated, and its address is checked."""

from dataclasses import dataclass
from typing import Any

from infisical_events.api.specs import Spec, parse_spec
from infisical_events.api.statuses import ConditionType
from infisical_events.core.egress.address_allowlist import EgressPolicy, ip_of, origin_of
from infisical_events.core.snapshots.selectors import Selector, selectors_of
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted
from infisical_events.core.sync.managed_secret_content import check_secrets


@dataclass(frozen=True, slots=True)
class ServingSpec:
    """A valid spec, the origin that its tokens may be sent to, and its selectors."""

    spec: Spec
    address: str
    selectors: tuple[Selector, ...]

    @property
    def project(self) -> str:
        """The project as the spec names it: by its slug or by its id."""
        return self.spec.project_slug or self.spec.project_id or ""


@dataclass(frozen=True, slots=True)
class NotServable:
    """Why a spec is not served, and the condition that says so."""

    condition: ConditionType
    reason: Reason
    message: str

    @property
    def is_true(self) -> bool:
        """The status of the condition; Ready is true while a user wants the subscription to do nothing."""
        return self.condition is ConditionType.STALLED or self.reason is Reason.SUSPENDED


def serving_spec_of(
    stored_spec: dict[str, Any], default_address: str, egress: EgressPolicy
) -> ServingSpec | NotServable:
    """Validate a stored spec; `default_address` is used where it has none."""
    try:
        spec = parse_spec(stored_spec)
        selectors = selectors_of(spec)
        check_secrets(spec)
        origin = origin_of(spec.address or default_address)
    except ValueError as error:
        return NotServable(ConditionType.STALLED, Reason.INVALID_SPEC, str(error))
    if denial_reason := _denial_reason(egress, origin):
        return NotServable(ConditionType.STALLED, Reason.ADDRESS_NOT_ALLOWED, denial_reason)
    if spec.suspend:
        message = "spec.suspend is true: changes are not observed and no workload is restarted."
        return NotServable(ConditionType.READY, Reason.SUSPENDED, message)
    return ServingSpec(spec, origin, selectors)


def too_many_subscriptions(limit: int) -> NotServable:
    """The namespace has no free slot."""
    message = (
        f"This namespace has reached its limit of {counted(limit, 'subscription')} "
        "(--max-subscriptions-per-namespace). Merge subscriptions or delete one; this one starts when a slot "
        "is free."
    )
    return NotServable(ConditionType.READY, Reason.TOO_MANY_SUBSCRIPTIONS, message)


def _denial_reason(egress: EgressPolicy, origin: str) -> str:
    """Why no request may be sent to this origin, as far as its text shows; empty if it may."""
    if not egress.admits(origin):
        return f"{origin} is not among the operator's allowed addresses (--allowed-address)."
    address = ip_of(origin)
    denial_reason = egress.denial_reason(origin, address) if address else ""
    return f"{origin} names {denial_reason}." if denial_reason else ""
