"""`python -m infisical_sandbox.server` is `infisical-sandbox server`."""

from infisical_sandbox.server.server_command import server

if __name__ == "__main__":
    server()
