"""Folders of Infisical, and the globs by which specs and workloads select them.

`scopes` names folders and derives the list requests of a spec, `path_globs` compiles path globs and key
filters. `glob_parser` turns a path glob into steps by the rules of picomatch 3, and `glob_matcher` runs
these steps over a path without backtracking. `name_patterns` runs them over names, for regular expressions of
other tools.
"""
