"""A network of two dense layers, which is traced fast: for tests of what does not depend on the network."""

import keras

from skip_pipeline import schema

BUILD_NETWORK = "skip_pipeline.training.train.build_network"
"""To be replaced by ``small_network``."""


def small_network(_settings: object, _inputs: object) -> keras.Model:
    inputs = {name: keras.Input(shape, name=name) for name, shape in schema.BRANCH_SHAPES.items()}
    history = keras.layers.Flatten()(inputs["skip_sequence"])
    everything = keras.layers.Concatenate()([inputs["last_track"], history])
    hidden = keras.layers.Dense(8, "tanh", bias_initializer="ones", name="hidden")(everything)
    columns = keras.layers.Dense(2, "sigmoid", bias_initializer="ones", dtype="float32", name="outcome")(
        hidden
    )
    return keras.Model(inputs, columns, name="small")
