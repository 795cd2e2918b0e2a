"""The rules of Infisical: no HTTP, no clock, no persistence.

All modules are functions over `records` in a `data_store`. In reading order:

- `generations`: the differences between server versions; `records`: the stored values
- `data_store`: the tables in memory; `api_errors`: the error responses
- `folder_paths`, `folders`, `projects`: where a secret is
- `secrets`, `secret_references`, `secret_imports`, `secret_reader`: secrets and what a caller may read
- `changes`: which change causes which event; `events`: their JSON
- `subscriptions`, `path_globs`: which stream receives an event; `fan_out`: which folders import a change
- `permissions`, `identities`, `access_tokens`: who may do what
"""
