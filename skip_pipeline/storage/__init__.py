"""Files that a stage makes: read, written, identified, and published all or none (see ``publication``)."""

from __future__ import annotations

from skip_pipeline.storage.arrays import map_array, read_array, write_array
from skip_pipeline.storage.delivered import Delivered, identify, mark
from skip_pipeline.storage.files import (
    FileRecord,
    digest_of,
    fingerprint,
    flush,
    read_json,
    record_file,
    record_files,
    write_json,
)
from skip_pipeline.storage.local_copies import on_this_machine
from skip_pipeline.storage.lock import locked
from skip_pipeline.storage.manifest import MANIFEST, DatasetFacts, Manifest, ShardRecord, shard_names
from skip_pipeline.storage.publication import is_published, publish, read_manifest, table_files
from skip_pipeline.storage.shards import Apply, Made, ShardJob, in_turn
from skip_pipeline.storage.staging import Staging
from skip_pipeline.storage.stored_files import StoredFile
from skip_pipeline.storage.tables import (
    check_schema,
    read_columns,
    read_table,
    schema_difference,
    write_table,
)

__all__ = [
    "MANIFEST",
    "Apply",
    "DatasetFacts",
    "Delivered",
    "FileRecord",
    "Made",
    "Manifest",
    "ShardJob",
    "ShardRecord",
    "Staging",
    "StoredFile",
    "check_schema",
    "digest_of",
    "fingerprint",
    "flush",
    "identify",
    "in_turn",
    "is_published",
    "locked",
    "map_array",
    "mark",
    "on_this_machine",
    "publish",
    "read_array",
    "read_columns",
    "read_json",
    "read_manifest",
    "read_table",
    "record_file",
    "record_files",
    "schema_difference",
    "shard_names",
    "table_files",
    "write_array",
    "write_json",
    "write_table",
]
