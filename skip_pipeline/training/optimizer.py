"""The optimizer and the learning rate's schedule."""

from __future__ import annotations

import keras

from skip_pipeline.settings import TrainingSettings


def optimizer_of(
    settings: TrainingSettings, batches: int, variables: list[keras.Variable]
) -> keras.optimizers.Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), built for some variables.

    With the schedule ``cosine``, the learning rate rises linearly from 0 over the first ``warm_up`` of all
    steps, and falls along half a cosine to 0 at the end of ``max_epochs``. With ``plateau`` it is constant
    until a callback of the training loop lowers it.

    Args:
        batches: of an epoch.
        variables: trainable ones; weight decay applies to matrices, not to vectors such as biases.
    """
    rate: float | keras.optimizers.schedules.LearningRateSchedule = settings.learning_rate
    if settings.schedule == "cosine":
        steps = settings.max_epochs * batches
        rising = int(settings.warm_up * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if rising else settings.learning_rate,
            warmup_target=settings.learning_rate if rising else None,
            warmup_steps=rising,
            decay_steps=max(steps - rising, 1),
        )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay, beta_2=settings.beta_2)
    optimizer.exclude_from_weight_decay([each for each in variables if len(each.shape) < 2])
    optimizer.build(variables)
    return optimizer
