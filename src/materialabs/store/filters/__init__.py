"""The query language: OPTIMADE's filter grammar, as syntax, as SQL and as plain Python."""
