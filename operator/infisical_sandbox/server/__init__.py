"""A local Infisical: logins, projects, secrets, imports, permissions and the Events API, without a licence.

For demos (`infisical-sandbox server`) and as the other end of the wire in tests:

    async with Sandbox.in_thread(Options()) as sandbox:
        await sandbox.do(Controls.set_secrets, "prod", "/payments", {"DB_PASSWORD": "…"})

`domain` decides, `web` speaks HTTP, the modules here hold the state, the streams and the fault switches.
"""

from infisical_sandbox.server.app_runner import Sandbox
from infisical_sandbox.server.controls import Controls
from infisical_sandbox.server.faults import Ending, ResponseFault
from infisical_sandbox.server.options import Options

__all__ = ["Controls", "Ending", "Options", "ResponseFault", "Sandbox"]
