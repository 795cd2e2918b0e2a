"""A client of Infisical's HTTP API; the only package that imports httpx.

`infisical_errors` classifies failures. The subpackage `transport` connects. `responses` quotes a response,
and `error_responses` tells Infisical's own errors from those of something in between. `http_client` makes one
request and reads its response within bounds. `shared_clients` shares connections and `shared_logins` tokens
and rejections between subscriptions, `tokens` logs in, and `authorized_client` has the token and sends
requests with it. `secret_lists` reads the state of folders. `event_stream` reads the stream, whose bytes
`sse_lines` splits into lines. `session` combines all of this for one subscription.
`connection_probe` makes the steps of a connection one by one, for the command line.
"""
