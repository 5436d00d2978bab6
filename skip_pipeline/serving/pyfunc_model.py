"""The served model as MLflow knows it: a file that MLflow runs when it loads the model ("models from code").

It holds no logic: a data frame goes to ``ServedModel`` as columns, and a refusal becomes MLflow's own, which
its servers answer with status 400.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from skip_pipeline import schema, serving
from skip_pipeline.errors import BadInputError
from skip_pipeline.serving.package import SERVED_MODEL


class SkipModel(PythonModel):
    """Sessions in, one a row, the probability that the next track is skipped out."""

    def load_context(self, context: Any) -> None:
        """Open the served model among the artifacts."""
        # One thread: a request is too small to share, and a server answers several at a time.
        self._model = serving.load(Path(context.artifacts[SERVED_MODEL]), threads=1)

    def predict(
        self,
        context: Any,  # noqa: ARG002 - MLflow's interface
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Score each row's session.

        Args:
            context: of ``load_context``.
            model_input: ``session_id``, ``history`` and ``next_track_id`` or ``next_track``, see
                ``serving.requests``.
            params: none are known.

        Returns:
            ``session_id``, ``p_skip``, ``known_track`` and ``data_source``, rows as they came.

        Raises:
            MlflowException: a session is not as it must be (INVALID_PARAMETER_VALUE, status 400).
        """
        values = model_input.to_numpy(object).T.tolist()
        columns = dict(zip(map(str, model_input.columns), values, strict=True))
        try:
            scores = self._model.score_columns(columns)
        except BadInputError as refusal:
            raise MlflowException.invalid_parameter_value(str(refusal)) from refusal
        return pd.DataFrame(
            {
                schema.SESSION_ID: np.array(columns[schema.SESSION_ID], object),
                "p_skip": scores.p_skip,
                "known_track": scores.known_track,
                "data_source": np.full(len(scores.p_skip), self._model.data_source, object),
            },
            index=range(len(scores.p_skip)),  # with it, and arrays above, one row takes half the time
            copy=False,
        )


set_model(SkipModel())
