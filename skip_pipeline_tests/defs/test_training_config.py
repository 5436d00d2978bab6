"""Run config of a training as settings."""

import dataclasses

from skip_pipeline.defs.assets.model import PresetName, TrainingConfig
from skip_pipeline.settings import PRESETS


def test_a_config_left_empty_is_the_preset():
    for name, preset in PRESETS.items():
        assert TrainingConfig(preset=PresetName(name)).settings() == preset
    assert TrainingConfig().settings() == PRESETS["fast"]


def test_whoever_sets_the_epochs_gets_as_many():
    settings = TrainingConfig(max_epochs=2).settings()
    assert settings == dataclasses.replace(PRESETS["fast"], max_epochs=2, least_steps=0)


def test_other_changes_leave_the_least_number_of_steps():
    settings = TrainingConfig(batch_size=64, seed=3, train_days=2).settings()
    assert settings == dataclasses.replace(PRESETS["fast"], batch_size=64, seed=3)
    assert settings.least_steps > 0
