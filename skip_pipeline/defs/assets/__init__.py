"""The twelve assets, by group: each loads, computes, saves and describes one stage.

    ingest     session_logs, track_features
    features   merged_table -> encoded_table -> scaled_table -> tensor_bundles
    model      trained_model, baseline_models, champion_model
    report     evaluation_report
    monitoring data_drift
    serving    skip_predictions

This package is the one place where the order of the stages stands.
"""

from skip_pipeline.defs.assets.baselines import baseline_models
from skip_pipeline.defs.assets.champion import champion_model
from skip_pipeline.defs.assets.features import encoded_table, merged_table, scaled_table, tensor_bundles
from skip_pipeline.defs.assets.ingest import session_logs, track_features
from skip_pipeline.defs.assets.model import trained_model
from skip_pipeline.defs.assets.monitoring import data_drift
from skip_pipeline.defs.assets.predictions import skip_predictions
from skip_pipeline.defs.assets.report import evaluation_report

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
