"""A cache in other formats: its catalogue as a table, its crops as image files or as shards for training elsewhere."""
