"""The stages, one file each, pure: tables and arrays in, tables and arrays out.

    ingest    raw CSVs        -> typed log (21 columns) and track features (30)
    merge     both            -> log rows with their track's features (50)
    encode    merged          -> categories as indicators, ids as codes (69); sessions and their split
    scale     encoded         -> track features in [0, 1] (69) and the fitted scaler
    bundle    scaled          -> small records per shard; opened, four float32 inputs and the label, per split
    train     bundles         -> a network and its history (the only stage that imports TensorFlow)
    evaluate  probabilities   -> scores and curves

No stage imports another, Dagster or MLflow. ``schema.py`` is what they agree on.
"""
