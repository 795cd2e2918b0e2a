"""`infisical-sandbox demo`: the way of a change, shown and measured from outside of the operator.

`commands` starts `running`, which makes the `worlds` a demo needs and takes them away again, whatever
happens (`records`, `guarding`). `scenes` are what is shown: each changes something in Infisical and
compares what the API server tells (`watching`, `views`) with what has to be true. `stories` tells it.
"""
