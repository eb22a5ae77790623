"""The imports of the process from which tests fork commands; they compute nothing."""

import mlflow
import mlflow.pyfunc
import mlflow.sentence_transformers
import mlflow.store.tracking.sqlalchemy_store

import pipelines.commands.train
import pipelines.flows.compare
import pipelines.flows.full
import pipelines.steps.evaluate
import pipelines.steps.register
import tuning.flow
import tuning.trial

__all__ = ["mlflow", "pipelines", "tuning"]
