"""The decorator of every asset of the pipeline."""

from collections.abc import Callable
from typing import Any, Final, cast

import dagster as dg

from skip_pipeline.code_version import asset_version
from skip_pipeline.settings import OWNER

_GROUP: Final = "skip_pipeline"  # one, because Dagster opens a graph of several with every group closed


def pipeline_asset(part: str, **options: Any) -> Callable[[Callable[..., object]], dg.AssetsDefinition]:
    """``dagster.asset`` with the options that all assets share: owner, and version of the stage's code.

    Args:
        part: of the pipeline, as the tag ``part``, by which ``tag:part=model`` selects.
        options: of ``dagster.asset``.
    """

    def decorate(stage: Callable[..., object]) -> dg.AssetsDefinition:
        name = options.get("name", stage.__name__)
        asset = dg.asset(
            group_name=_GROUP,
            tags={"part": part},
            owners=[OWNER],
            code_version=asset_version(name),
            **options,
        )
        return cast(dg.AssetsDefinition, asset(stage))

    return decorate
