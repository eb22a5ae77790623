"""What the process has imported that tests fork commands from: all that commands import, and nothing has been computed."""

import mlflow
import mlflow.pyfunc
import mlflow.sentence_transformers
import mlflow.store.tracking.sqlalchemy_store

import pipelines.comparing
import pipelines.full
import pipelines.judging
import pipelines.steps
import pipelines.train_nli
import pipelines.train_sts
import tuning.searching
import tuning.trial

__all__ = ["mlflow", "pipelines", "tuning"]
