"""glog's flags, and the environment variables GLOG_NAME that set their defaults."""

import re
from collections.abc import Mapping

from caffe._commands.gflags import FALSE, TRUE, Flag

_LOG_FLAGS = {
    "log_dir": Flag(
        "",
        "Existing folder for log files: PROGRAM.HOST.USER.log.INFO.DATE-TIME.PID with a link PROGRAM.INFO, and the "
        "same for WARNING, ERROR and FATAL. Default: no files; real Caffe writes them to /tmp.",
        value="DIR",
    ),
    "logtostderr": Flag(False, "Log to standard error alone, without files."),
    "alsologtostderr": Flag(
        True,
        "Log to standard error as well as to files. With --noalsologtostderr and no --log_dir the files go to the "
        "system's folder for temporary files.",
    ),
    "stderrthreshold": Flag(
        2, "With --noalsologtostderr: lines of this level or a higher one go to standard error too.", value="LEVEL"
    ),
    "minloglevel": Flag(
        0, "Drop lines of a lower level: 0 INFO, 1 WARNING, 2 ERROR, 3 FATAL. FATAL lines always stay.", value="LEVEL"
    ),
    "log_prefix": Flag(True, "Begin each line with level, date, time, thread, file and line."),
    "colorlogtostderr": Flag(False, "Color warnings and errors if standard error is a terminal."),
    "log_link": Flag("", "Another existing folder for links to the log files.", value="DIR"),
    "logfile_mode": Flag(0o664, "Permissions of the log files, as a decimal number.", value="N"),
    "max_log_size": Flag(1800, "Begin a new log file after so many MB.", value="MB"),
}
_WITHOUT_EFFECT: dict[str, tuple[bool | int | str, str]] = {
    "logbuflevel": (0, "each line is written at once"),
    "logbufsecs": (30, "each line is written at once"),
    "stop_logging_if_full_disk": (False, "each line is tried again, and goes to standard error if the disk is full"),
    "drop_log_memory": (True, "there is no buffer"),
    "v": (0, "Caffe has no verbose lines"),
    "vmodule": ("", "Caffe has no verbose lines"),
    "log_backtrace_at": ("", "see --traceback"),
    "symbolize_stacktrace": (True, "see --traceback"),
    "alsologtoemail": ("", "no mail is sent"),
    "logemaillevel": (999, "no mail is sent"),
    "logmailer": ("/bin/mail", "no mail is sent"),
}
LOG_FLAGS = _LOG_FLAGS | {
    name: Flag(default, f"Accepted without effect: {why}.", value="VALUE")
    for name, (default, why) in _WITHOUT_EFFECT.items()
}
HEEDED = tuple(_LOG_FLAGS)
# These flags have an older variable too.
_OLDER = {name: f"GOOGLE_{name.upper()}" for name in ("log_dir", "logtostderr", "alsologtostderr")}


def from_environment(environment: Mapping[str, str]) -> tuple[dict[str, bool | int | str], list[str]]:
    """Return the flags' defaults, and a complaint for each variable with a bad value.

    As in glog, a bad number counts as its leading digits or 0, and a bad bool as false.
    """
    values, complaints = {name: flag.default for name, flag in LOG_FLAGS.items()}, []
    values["alsologtostderr"] = False  # glog's own default, which the commands change
    for name, flag in LOG_FLAGS.items():
        variables = (f"GLOG_{name}", _OLDER.get(name, f"GLOG_{name}"))
        variable = next((each for each in variables if each in environment), None)
        if variable is None:
            continue
        text, wanted = environment[variable], ""
        if isinstance(flag.default, bool):
            values[name] = text[:1].lower() in ("", "1", "t", "y")
            if text and text.lower() not in TRUE + FALSE:
                wanted = "true or false"
        elif isinstance(flag.default, int):
            digits = re.match(r"\s*[-+]?[0-9]{1,9}", text)
            values[name] = int(digits[0]) if digits else 0
            if text and not re.fullmatch(r"\s*[-+]?[0-9]+\s*", text):
                wanted = "a whole number"
        else:
            values[name] = text
        if wanted:
            taken = str(values[name]).lower()
            complaints.append(f"{variable}={text}: the value must be {wanted}; it is taken as {taken}, as glog does.")
    return values, complaints
