"""A local Infisical: logins, projects, secrets, imports, permissions and the Events API, without a licence.

Used by demos (`infisical-sandbox server`) and as a real server in tests:

    async with Sandbox.in_thread(Options()) as sandbox:
        await sandbox.do(Controls.set_secrets, "prod", "/payments", {"DB_PASSWORD": "…"})

Modules in reading order:

- `options`, `server_command`: the settings and the command line
- `app_runner`: `Sandbox`, a running server in this event loop or in a thread
- `instance`: the state of one server and the effects of a change
- `controls`: actions on a running server, for tests, the demo and the admin routes; `faults`: fault switches
- `event_streams`: the open streams; `fan_out_queue`: the delayed events of importing folders
- `journal`: the log of changes, events and streams; `database`: the SQLite file
- `token_review`: Kubernetes auth; `clock`
- `domain`: the rules, without I/O; `web`: the HTTP routes
- `secret_commands`, `http_client`: the commands `infisical-sandbox secrets`, and their client
"""

try:
    from infisical_sandbox.server.app_runner import Sandbox
    from infisical_sandbox.server.controls import Controls
    from infisical_sandbox.server.faults import Ending, ResponseFault
    from infisical_sandbox.server.options import Options
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"the Python module {str(error.name).partition('.')[0]} is missing. "
        "In a checkout of the project, run: pip install -e '.[sandbox]'",
        name=error.name,
    ) from None

__all__ = ["Controls", "Ending", "Options", "ResponseFault", "Sandbox"]
