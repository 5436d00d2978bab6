"""The twelve assets, by group: each asset makes one stage and records it.

    ingest     session_logs, track_features
    features   merged_table -> encoded_table -> scaled_table -> tensor_bundles
    model      trained_model, baseline_models, champion_model
    report     evaluation_report
    monitoring data_drift
    serving    skip_predictions

Only this package knows the order of the stages.
"""

from skip_pipeline.defs.assets.baselines import baseline_models
from skip_pipeline.defs.assets.champion import champion_model
from skip_pipeline.defs.assets.model import trained_model
from skip_pipeline.defs.assets.monitoring import data_drift
from skip_pipeline.defs.assets.predictions import skip_predictions
from skip_pipeline.defs.assets.report import evaluation_report
from skip_pipeline.defs.assets.shards import (
    encoded_table,
    merged_table,
    scaled_table,
    session_logs,
    tensor_bundles,
    track_features,
)

ALL_ASSETS = (
    session_logs,
    track_features,
    merged_table,
    encoded_table,
    scaled_table,
    tensor_bundles,
    data_drift,
    baseline_models,
    trained_model,
    evaluation_report,
    champion_model,
    skip_predictions,
)
