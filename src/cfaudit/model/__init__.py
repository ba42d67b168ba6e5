"""Values in, a Template out: the typed view of a stack that checks ask."""
