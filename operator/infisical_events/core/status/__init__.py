"""What users read: reasons, conditions, Kubernetes Events and texts.

`reasons` lists every reason, `reason_hints` says what one means where no better message is at hand, and
`remedies` what to do about it. `conditions` updates conditions and derives Ready, `kube_events` is one
Kubernetes Event, and `text` bounds and formats messages.
"""
