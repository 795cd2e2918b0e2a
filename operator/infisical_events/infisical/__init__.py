"""Infisical's HTTP API as a client meets it; the only importer of httpx.

`errors` tells failures apart, `answers` reads what comes, within bounds, `calls` makes one request, `logins`
keeps a token, `attempts` what all know of credentials, `observing` reads state (of values `digesting` lets
only digests through), `streaming` listens to what `lines` reads, `sessions` is all of it for one
subscription.
"""
