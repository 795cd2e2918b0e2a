"""What the command line says about a subscription: the results of checks, and events as lines.

In reading order: `check_results` is one check with its outcome; `network_remedies` says what to do about a
failure that this machine saw; `operator_status` judges the status that the operator wrote; `stream_checks`
reads the one attempt to open a stream as three checks; `event_lines` tells of a received event whether the
spec selects it.
"""
