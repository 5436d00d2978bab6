"""A model that does nothing, to measure what MLflow's server costs by itself."""

from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class EmptyModel(PythonModel):
    """Gives 0 for every row."""

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> list[float]:  # noqa: ARG002 - MLflow's interface
        """See the class."""
        return [0.0] * len(model_input)


set_model(EmptyModel())
