"""Text of `--help` that keeps its lines."""


def examples(*commands: str) -> str:
    """An epilog with one example per line; click leaves a paragraph that begins with a backspace as it is."""
    noun = "Example" if len(commands) == 1 else "Examples"
    lines = "\n".join(f"  infisical-events {command}" for command in commands)
    return f"\b\n{noun}:\n{lines}"
