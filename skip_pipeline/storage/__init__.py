"""Files that a stage makes: read, written, identified, and published all or none.

files        a file's size and digest, JSON
arrays       numpy arrays
tables       parquet that keeps a contract
manifest     what a stage folder holds
shards       a shard to be made, and what came of it
staging      the files of a stage that is being made, shard by shard
publication  how they replace what was there before: local_commit on this machine, object_commit in an
             object store, which keep one commit_protocol
lock         one writer at a time: the system's lock on this machine, object_lock in an object store
fetched      a stage of an object store, copied to this machine once
delivered    raw files, read again only if they were touched
"""

from __future__ import annotations

from skip_pipeline.storage.arrays import map_array, read_array, write_array
from skip_pipeline.storage.delivered import Delivered, identify, mark
from skip_pipeline.storage.fetched import on_this_machine
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
from skip_pipeline.storage.lock import locked
from skip_pipeline.storage.manifest import MANIFEST, DatasetFacts, Manifest, ShardRecord, shard_names
from skip_pipeline.storage.publication import finish_publication, publish, read_manifest
from skip_pipeline.storage.shards import Apply, Built, Made, ShardJob, in_turn
from skip_pipeline.storage.staging import Staging
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
    "Built",
    "DatasetFacts",
    "Delivered",
    "FileRecord",
    "Made",
    "Manifest",
    "ShardJob",
    "ShardRecord",
    "Staging",
    "check_schema",
    "digest_of",
    "fingerprint",
    "finish_publication",
    "flush",
    "identify",
    "in_turn",
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
    "write_array",
    "write_json",
    "write_table",
]
