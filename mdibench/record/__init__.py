"""A run's files: their schema, the live stream, the Parquet tables and the reader."""
