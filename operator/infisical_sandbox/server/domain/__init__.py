"""What Infisical knows and decides: no HTTP, no clock of its own, no persistence.

`records` are its values, `stores` holds them, and every other module is functions over the two. Reading
order: records, stores, paths, folders, secrets, imports, changes (which change causes which event),
events, subscriptions (who gets it), fanouts (what importers hear), permissions, tokens, identities.
"""
