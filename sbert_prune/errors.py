"""The exception tree of the project.

SbertPruneError                 anything that the user can fix; commands exit with status 2
 ├─ SelectionError (ValueError)    which layers to keep
 ├─ RecipeError (ValueError)       a recipe or a parameter of a command
 ├─ EncoderError (ValueError)      a base that is missing, of an unknown architecture, or damaged
 ├─ HubError (RuntimeError)        a failed request to a hub
 ├─ DataError (ValueError)         training or evaluation data
 ├─ TrainingError (RuntimeError)   a phase that cannot continue
 ├─ SearchError (ValueError)       a search with impossible settings
 ├─ RoundTripError (RuntimeError)  a saved model that differs when it is loaded again
 ├─ TrackingError (RuntimeError)   MLflow's store or registry
 │   └─ UnrecordedError              work that is finished and saved but could not be recorded: exit status 3
 └─ RefusedError (RuntimeError)    a model that a gate rejects: exit status 4
"""


class SbertPruneError(Exception):
    """Base class. The message says what was found, what was expected and what to do next."""


class SelectionError(SbertPruneError, ValueError):
    """A selection of layers that does not fit the encoder."""


class RecipeError(SbertPruneError, ValueError):
    """An invalid recipe or parameter."""


class EncoderError(SbertPruneError, ValueError):
    """A base that cannot be loaded or pruned."""


class HubError(SbertPruneError, RuntimeError):
    """A model or data set that cannot be had from a hub: missing, not accessible, out of reach or damaged."""


class DataError(SbertPruneError, ValueError):
    """Training or evaluation data that cannot be used."""


class TrainingError(SbertPruneError, RuntimeError):
    """A phase that cannot continue."""


class SearchError(SbertPruneError, ValueError):
    """A search space, limit or study that does not allow the requested search."""


class RoundTripError(SbertPruneError, RuntimeError):
    """A saved model that differs when it is loaded again."""


class TrackingError(SbertPruneError, RuntimeError):
    """A failed operation of MLflow's store or registry."""


class UnrecordedError(TrackingError):
    """A store that failed after work was finished: the work is saved, and the same command resumes from it."""


class RefusedError(SbertPruneError, RuntimeError):
    """A model that a gate rejects: a result with its reasons, which is recorded."""
