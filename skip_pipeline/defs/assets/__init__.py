"""The fourteen assets, by part: each asset makes one stage and records it.

ingest     session_logs, track_features
features   merged_table -> encoded_table -> scaled_table -> tensor_bundles
model      trained_model, baseline_models -> best_model -> champion_model
report     evaluation_report, own_listening_report
monitoring data_drift
serving    skip_predictions
"""

import dagster as dg

from skip_pipeline.defs.assets import (
    baselines,
    best,
    champion,
    model,
    monitoring,
    own_listening,
    predictions,
    report,
    shards,
)

ALL_ASSETS = dg.load_assets_from_modules(
    [shards, monitoring, baselines, model, best, report, own_listening, champion, predictions]
)
