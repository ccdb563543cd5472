"""Every kind of file the project reads."""

from .array_files import ARRAY_FILES
from .experiment_files import EXPERIMENT_FILES
from .net_files import NET_FILES
from .note_files import NOTE_FILES
from .record_files import RECORD_FILES
from .snapshot_files import SNAPSHOT_FILES

ARTIFACTS = {**NET_FILES, **ARRAY_FILES, **SNAPSHOT_FILES, **RECORD_FILES, **EXPERIMENT_FILES, **NOTE_FILES}
