"""`python -m infisical_sandbox.server`: the `server` command without the rest of the sandbox."""

from infisical_sandbox.server.server_command import server

if __name__ == "__main__":
    server()
