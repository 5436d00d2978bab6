"""From raw listening logs to a tracked, evaluated and served skip model.

    data folder     module              asset                          holds
    01_raw          stages.ingest       session_logs, track_features   21 and 30 columns, as delivered
    02_merged       stages.merge        merged_table                   50 columns
    03_encoded      stages.encode       encoded_table                  69 columns
    04_scaled       stages.scale        scaled_table                   69 columns, features in [0, 1]
    05_bundles      stages.bundle       tensor_bundles                 (n,19,35) (n,19,31) (n,19,1) (n,31)
    06_baselines    baselines.fit       baseline_models                predictions of simpler models
    06_model        training.train      trained_model                  the network
    06_best         nightly.best        best_model                     the best of the night, to serve
    07_monitoring   nightly.monitoring  data_drift                     changes since the champion's training
    07_report       report.make         evaluation_report              metrics, predictions, report.html
    07_own_listening  report.newest_tenth  own_listening_report       the page about oneself, of own listening
    07_promotion    nightly.champion    champion_model                 which model serves, and why
    08_predictions  serving.batch       skip_predictions               predictions for the test set's sessions

``defs`` makes each stage a Dagster asset and records it in MLflow; ``cli`` holds the commands.
"""

from skip_pipeline.environment import keep_private

keep_private()  # before any module of the package imports a library
