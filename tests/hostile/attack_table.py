"""All attacks by name, and a control run without one."""

from hostile import http_attacks, list_attacks, login_attacks, stream_attacks, tenant_attacks
from hostile.attack import Attack

CONTROL = Attack("control", objects=lambda _: ())
"""No attack: its figures are those of the machine and of the harness."""

_KINDS = (list_attacks, http_attacks, stream_attacks, login_attacks, tenant_attacks)

ATTACKS = (CONTROL, *(attack for kind in _KINDS for attack in kind.ATTACKS))
BY_NAME = {attack.name: attack for attack in ATTACKS}
