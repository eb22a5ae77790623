"""The exception tree of the project.

SbertPruneError                 anything that a person can mend; commands answer it with exit status 2
 ├─ SelectionError (ValueError)    which layers to keep
 ├─ RecipeError (ValueError)       a recipe or a parameter of a command
 ├─ EncoderError (ValueError)      a base that is missing, of an unknown architecture, or damaged
 ├─ HubError (RuntimeError)        a hub that does not give what was asked of it
 ├─ DataError (ValueError)         a file of NLI or STS rows
 ├─ TrainingError (RuntimeError)   a phase that cannot go on
 ├─ SearchError (ValueError)       a search that cannot be done as it is asked for
 ├─ RoundTripError (RuntimeError)  a saved model that does not come back as it was
 ├─ TrackingError (RuntimeError)   MLflow's store or registry
 │   └─ UnrecordedError              work that is done and kept, but could not be recorded: exit status 3
 └─ RefusedError (RuntimeError)    a gate that does not let a model pass: exit status 4
"""


class SbertPruneError(Exception):
    """Says what was found, what would be right and what to do next."""


class SelectionError(SbertPruneError, ValueError):
    """A choice of layers that the encoder cannot have."""


class RecipeError(SbertPruneError, ValueError):
    """A recipe or a parameter that has no meaning."""


class EncoderError(SbertPruneError, ValueError):
    """A base that cannot be loaded or pruned."""


class HubError(SbertPruneError, RuntimeError):
    """A hub that does not give a model or data set: missing, closed, out of reach, or damaged on the way."""


class DataError(SbertPruneError, ValueError):
    """Training or evaluation data that cannot be used."""


class TrainingError(SbertPruneError, RuntimeError):
    """A phase that cannot go on."""


class SearchError(SbertPruneError, ValueError):
    """A search space, a limit or a study that cannot be searched as it is asked for."""


class RoundTripError(SbertPruneError, RuntimeError):
    """A saved model that does not come back as it was."""


class TrackingError(SbertPruneError, RuntimeError):
    """MLflow's store or registry cannot do what was asked."""


class UnrecordedError(TrackingError):
    """A store that failed when work was done already: that is kept, and the same command goes on from there."""


class RefusedError(SbertPruneError, RuntimeError):
    """A model that a gate does not let pass: an answer with its reasons, which is recorded."""
