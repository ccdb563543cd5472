"""Every kind of file the project reads."""

from .engine_files import ENGINE_FILES
from .experiment_files import EXPERIMENT_FILES

ARTIFACTS = {**ENGINE_FILES, **EXPERIMENT_FILES}
