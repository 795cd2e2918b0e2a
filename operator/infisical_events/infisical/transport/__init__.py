"""Connections to the servers that users choose: whereto, how often, and how much at a time.

In reading order: `tls` builds the TLS context; `name_resolver` resolves host names in threads of its own;
`guarded_transport` connects only to allowed IP addresses; `fair_reads` lets connections take turns, and
bounds the pace of their responses; `address_backoff` shares the waits that a server demands.
"""
