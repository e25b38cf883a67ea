"""Where every crystal, property and prediction lives: records, schema, query, ingest, export."""
