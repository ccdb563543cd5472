"""The ``caffe`` command's own flags and its help.

As in Caffe, every command accepts every flag but uses only its own, which its help names.
"""

from types import SimpleNamespace

from caffe._commands import command_line
from caffe._commands.gflags import Flag
from caffe._commands.program_help import Program

COMMANDS = {
    "train": "train or finetune a model",
    "test": "score a model",
    "device_query": "show GPU diagnostic information",
    "time": "benchmark model execution time",
    "summary": "table of a net's layers: output sizes, parameters, multiply-adds",
    "draw": "picture of a net, by graphviz",
}
PLACES = {"summary": "NET", "draw": "NET PICTURE"}
_SIGNAL_EFFECTS = ("snapshot", "stop", "none")
_OF_A_MODEL = ("test", "time")
FLAGS = {
    "solver": Flag("", "The solver definition protocol buffer text file.", ("train",), value="FILE"),
    "model": Flag("", "The model definition protocol buffer text file.", _OF_A_MODEL, value="FILE"),
    "snapshot": Flag("", "Optional; the snapshot solver state to resume training.", ("train",), value="FILE"),
    "weights": Flag(
        "",
        "The pretrained weights to score or to initialize finetuning, separated by ','. "
        "Cannot be set simultaneously with snapshot.",
        ("train", "test"),
        value="FILES",
    ),
    "iterations": Flag(50, "The number of iterations to run.", _OF_A_MODEL, value="N"),
    "gpu": Flag(
        "",
        "Optional; run in GPU mode on the given device IDs separated by ',', or 'all': one worker on each trains "
        "with a batch of its own. Without a GPU it says so and uses the CPU.",
        ("train", "test", "time", "device_query"),
        value="IDS",
    ),
    "phase": Flag(
        "",
        "Optional; network phase (TRAIN, TEST or ALL); time has no ALL. Default: TRAIN for time, else ALL.",
        ("time", "summary", "draw"),
        ("TRAIN", "TEST", "ALL"),
        "PHASE",
    ),
    "level": Flag(0, "Optional; network level.", ("train", "test", "time", "summary"), value="N"),
    "stage": Flag(
        "",
        "Optional; network stages (not to be confused with phase), separated by ','.",
        ("train", "test", "time", "summary"),
        value="STAGES",
    ),
    "sigint_effect": Flag(
        "stop", "Optional; action to take when a SIGINT signal is received.", ("train",), _SIGNAL_EFFECTS, "ACTION"
    ),
    "sighup_effect": Flag(
        "snapshot", "Optional; action to take when a SIGHUP signal is received.", ("train",), _SIGNAL_EFFECTS, "ACTION"
    ),
    "rankdir": Flag("LR", "Direction of the picture.", ("draw",), ("LR", "RL", "TB", "BT"), "DIRECTION"),
    "display_lrm": Flag(False, "Show the factors of the learning rate.", ("draw",)),
    "precision": Flag(
        "",
        "Precision of the arithmetic: fp32 as real Caffe's; tf32 (on a GPU) and bf16 are faster and keep weights and "
        "history in float32. Default: what the environment's CAFFE_PRECISION says, else fp32.",
        ("train", "test", "time"),
        ("fp32", "tf32", "bf16"),
        "NAME",
    ),
    "deterministic": Flag(
        False,
        "On a GPU: only algorithms that give the same bits in every run, so that a resumed run ends exactly as one "
        "that was never stopped (the CPU's always do).",
        ("train",),
    ),
    "worker_timeout": Flag(
        300,
        "Of several workers (on several GPUs, or started with torchrun): how many seconds one waits for another "
        "before it gives up.",
        ("train",),
        value="SECONDS",
    ),
    "allow_python_layers": Flag(
        False, "Let the net run Python layers: code that can do anything.", ("train", "test", "time", "summary")
    ),
    "traceback": Flag(False, "After an error show where in the program it happened.", tuple(COMMANDS)),
    "completion": Flag("", "Print a shell's completion of this command.", (), ("bash", "zsh"), "SHELL"),
}


def _program() -> Program:
    commands = {}
    for name, what in COMMANDS.items():
        words = " ".join(filter(None, ["caffe", name, PLACES.get(name), "[flags]"]))
        own = {flag: each for flag, each in FLAGS.items() if name in each.commands}
        commands[name] = Program("caffe", f"{words}\n\n{what[0].upper()}{what[1:]}.", own)
    listed = "\n".join(f"  {name:<15} {what}" for name, what in COMMANDS.items())
    usage = f"""caffe <command> <args>

commands:
{listed}

caffe <command> --help lists a command's flags; caffe --helpfull lists all; caffe --version;
caffe --completion bash (or zsh)"""
    return Program("caffe", usage, FLAGS, commands)


PROGRAM = _program()


def parse(arguments: list[str]) -> SimpleNamespace:
    """Parse Caffe's command line.

    Returns:
        The flags by name, `command`, `places` (the words that are not flags) and `stages`.

    Raises:
        UsageError: there is no such command or flag, or a value does not fit.
        HelpAsked: the user asks for help or the version.
    """
    flags, rest = command_line.parse(arguments, {name: flag.default for name, flag in FLAGS.items()})
    if flags.completion:
        return flags
    if not rest:
        raise command_line.UsageError("no command is given")
    flags.command, *flags.places = rest
    if flags.command not in COMMANDS:
        raise command_line.UsageError(
            f"unknown command '{flags.command}'{command_line.nearest(flags.command, COMMANDS)}"
        )
    wanted = PLACES.get(flags.command, "").split()
    if len(flags.places) != len(wanted):
        takes, given = " ".join(wanted) or "flags alone", " ".join(flags.places) or "nothing"
        raise command_line.UsageError(f"caffe {flags.command} takes {takes}; given: {given}")
    for name, flag in FLAGS.items():
        value = getattr(flags, name)
        if flag.choices and value not in (*flag.choices, flag.default):
            raise command_line.UsageError(f"--{name}={value}: must be one of {', '.join(flag.choices)}")
    flags.arguments = list(arguments)
    flags.stages = [stage for stage in flags.stage.split(",") if stage]
    return flags
