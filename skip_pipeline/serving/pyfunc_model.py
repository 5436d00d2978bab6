"""The file that MLflow runs to load a registered model ("models from code")."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from mlflow.telemetry import set_telemetry_client

from skip_pipeline import schema, serving
from skip_pipeline.errors import BadInputError
from skip_pipeline.serving.model_folder import SERVED_MODEL
from skip_pipeline.serving.requests import sessions_of_frame

# MLflow has started its telemetry before the import of skip_pipeline switched it off.
set_telemetry_client()  # type: ignore[no-untyped-call]


class SkipModel(PythonModel):
    """One session a row in, the probability that each of its next tracks is skipped out."""

    def load_context(self, context: Any) -> None:
        """Open the served model among the artifacts."""
        # One thread: a request is too small to divide, and a server answers several requests at a time.
        self._model = serving.load(Path(context.artifacts[SERVED_MODEL]), threads=1)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002 - MLflow's interface
        """The columns of the signature: a row for the next track, or for each candidate, of each ``Session``.

        Raises:
            MlflowException: a row is refused; MLflow's servers answer with status 400.
        """
        values = model_input.to_numpy(object).T.tolist()
        columns = dict(zip(map(str, model_input.columns), values, strict=True))
        try:
            sessions = sessions_of_frame(columns)
            scores = self._model.score(sessions)
        except BadInputError as refusal:
            raise MlflowException.invalid_parameter_value(str(refusal)) from refusal
        return pd.DataFrame(
            {
                schema.SESSION_ID: np.array(sessions.asked_ids, object),
                "p_skip": scores.p_skip,
                "known_track": scores.known_track,
                "data_source": np.full(len(scores.p_skip), self._model.data_source, object),
                schema.TRACK_ID: np.array(sessions.next_track_ids, object),
                **{f"p_{flag}": scores.p_flags[:, i] for i, flag in enumerate(schema.OUTCOME_FLAGS[:-1])},
            },
            index=range(len(scores.p_skip)),  # this, and the arrays above, halve the time for one row
            copy=False,
        )


set_model(SkipModel())
