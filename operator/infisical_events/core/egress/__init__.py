"""Where the operator may connect to and send tokens.

`network_policy` classifies IP addresses, and `address_allowlist` checks the address of a spec, and the IP
addresses it resolves to, against what the administrator allows.
"""
