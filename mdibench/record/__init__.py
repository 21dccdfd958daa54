"""A run's files: their schema, the live stream, the Parquet tables and the reader.

Rules: the columns follow from the row classes of ``core.rows``; what was flushed is readable after
a crash; all other files are written whole or not at all. pyarrow is imported only to write or read
tables.

Called by ``rank`` and ``simulation`` to write, by ``monitor`` and ``analysis`` to read. Read it in
this order: ``schema``, ``stream``, ``run_folder``, ``tables``, ``columns``, ``reader``, ``files``,
``profile``.
"""

import os

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
"""Arrow's own pools return pages after every table and fetch them anew for the next, and keep tens
of MiB of scraps. Arrow reads this once, when it is imported."""
