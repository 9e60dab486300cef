"""A run's history, shipments and ledger as columns in Parquet files, for runs too large to be
records; `layout` has the format, `convert` makes it from the JSON lines, `rebuild` reads records
from it again."""
