"""Files that a stage makes: read, written, identified, and published all or none (see ``publication``)."""

# ruff: noqa: F401  these names are what other packages use
# mypy: implicit-reexport

from skip_pipeline.storage.files import flush, map_array, read_json, write_array, write_json
from skip_pipeline.storage.identity import (
    Delivered,
    FileRecord,
    digest_of,
    fingerprint,
    identify,
    mark,
    record_file,
    record_files,
)
from skip_pipeline.storage.local_copies import on_this_machine
from skip_pipeline.storage.manifest import MANIFEST, Manifest, shard_names
from skip_pipeline.storage.publication import is_published, locked, publish, read_manifest, table_files
from skip_pipeline.storage.staging import FATES, Apply, Made, ShardJob, Staging, in_turn
from skip_pipeline.storage.stored_files import StoredFile
from skip_pipeline.storage.tables import read_columns, read_table, schema_difference, write_table
