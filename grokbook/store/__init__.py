"""What has been trained: a folder of Parquet shards, append-only, read as a table or as one labelled cube.

    data/<study>/<unique name>.parquet           one row a run: config, provenance, curves
    data/weights/<run_id>@<step>.safetensors

A run counts wherever it lies, so one that two studies share is trained once.
"""

from grokbook.store.shards import DamagedShard
from grokbook.store.store import Store, config_of

__all__ = ["DamagedShard", "Store", "config_of"]
