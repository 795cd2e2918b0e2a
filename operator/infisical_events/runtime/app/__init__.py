"""The process: composition root, settings, logs, watch adapter, health and supervision of the event loop.

In reading order: `settings` are the checked options of the command line; `bootstrap` builds every part
once and runs them; `kopf_adapter` watches the custom resource; `kube_cluster` is the port to the API
server and `digest_keys` caches the key of the value digests; `http_server` serves /healthz, /readyz and
/metrics; `logging_setup` formats log lines and `log_budget` bounds them; `event_loop_watchdog` ends a
process whose event loop is blocked; `memory_trim` returns free memory to the system.
"""
