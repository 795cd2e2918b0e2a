"""The HTTP API of the local Infisical.

Modules in reading order: `app` (all routes), `middleware`, `authentication`, `request_parser`,
`request_bodies`, `responses`, `go_port` (where the Go port differs), `json_views`, then the routes:
`auth_routes`, `project_routes`, `folder_routes`, `import_routes`, `secret_requests`, `secret_routes`,
`event_routes`, `admin_routes`.
"""
