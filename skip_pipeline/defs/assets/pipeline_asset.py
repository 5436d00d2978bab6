"""The decorator of every asset of the pipeline."""

from collections.abc import Callable
from typing import Any, cast

import dagster as dg

from skip_pipeline.code_version import asset_version
from skip_pipeline.settings import OWNER


def pipeline_asset(group: str, **options: Any) -> Callable[[Callable[..., object]], dg.AssetsDefinition]:
    """``dagster.asset`` with the options that all assets share: owner, and version of the stage's code."""

    def decorate(stage: Callable[..., object]) -> dg.AssetsDefinition:
        name = options.get("name", stage.__name__)
        asset = dg.asset(group_name=group, owners=[OWNER], code_version=asset_version(name), **options)
        return cast(dg.AssetsDefinition, asset(stage))

    return decorate
