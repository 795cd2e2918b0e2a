"""One request to the API server, and its response, with plain JSON.

`api_requests` has the request as a value and its credentials, `api_responses` decodes what comes back, and
`api_client` has the verbs: objects, lists in pages, and watches.
"""
