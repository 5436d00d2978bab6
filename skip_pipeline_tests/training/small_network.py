"""A network of two dense layers, which is traced fast: for tests of what does not depend on the network."""

import keras

from skip_pipeline import schema
from skip_pipeline.settings import TrainingSettings

BUILD_NETWORK = "skip_pipeline.training.train.build_network"
"""To be replaced by ``small_network``."""


def small_network(settings: TrainingSettings, _inputs: object) -> keras.Model:
    """For the preset ``fast``, a network of every track's outcomes, and of two columns for the others."""
    names = [*schema.BRANCH_SHAPES, *(["visible_steps"] if settings.preset == "fast" else [])]
    inputs = {name: keras.Input(schema.INPUT_SHAPES[name], name=name) for name in names}
    history = keras.layers.Flatten()(inputs["skip_sequence"])
    everything = keras.layers.Concatenate()([inputs["last_track"], history, *list(inputs.values())[4:]])
    hidden = keras.layers.Dense(8, "tanh", bias_initializer="ones", name="hidden")(everything)
    if settings.preset == "fast":
        log_odds = keras.layers.Dense(80, bias_initializer="ones")(hidden)
        log_odds = keras.layers.Reshape((20, 4), name="log_odds")(log_odds)
        return keras.Model(inputs, keras.ops.sigmoid(log_odds), name="small")
    columns = keras.layers.Dense(2, "sigmoid", bias_initializer="ones", dtype="float32", name="outcome")(
        hidden
    )
    return keras.Model(inputs, columns, name="small")
