"""A client of Infisical's HTTP API; the only package that imports httpx.

`infisical_errors` classifies failures. `tls` builds the TLS context, `name_resolver` resolves host names in
threads of its own, `fair_reads` lets connections take turns, `guarded_transport` connects only to allowed IP
addresses, `responses` reads bounded responses, and `error_responses` tells Infisical's own errors from those
of something in between. `address_backoff` shares the waits that a server demands, and `http_client` makes one
request. `login_guard` shares failed logins between subscriptions, `tokens` provides access tokens, and
`authorized_client` sends requests with them. `secret_lists` reads the state of folders and
`secret_list_parser` parses it. `event_stream` reads the stream, whose bytes `sse_lines` splits into lines.
`session` combines all of this for one subscription.
"""
