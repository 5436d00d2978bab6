"""From raw listening logs to a tracked, evaluated skip model.

    data folder   module           asset                          holds
    01_raw        flow.ingest      session_logs, track_features   21 and 30 columns, as delivered
    02_merged     flow.merge       merged_table                   50 columns
    03_encoded    flow.encode      encoded_table                  69 columns
    04_scaled     flow.scale       scaled_table                   69 columns, features in [0, 1]
    05_bundles    flow.bundle      tensor_bundles                 (n,19,35) (n,19,31) (n,19,1) (n,31)
    06_baselines  flow.baselines   baseline_models                what simpler models say
    06_model      flow.train       trained_model                  the network, and what serves it
    07_report     flow.evaluate    evaluation_report              metrics, predictions, report.html
    08_predictions serving.batch   skip_predictions               the test set's sessions, scored

``defs`` wraps each stage as a Dagster asset and records it in MLflow; ``cli`` runs it all.
"""
