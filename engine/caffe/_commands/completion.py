"""A shell's completion of the ``caffe`` command: ``source <(caffe --completion bash)``, or zsh."""

from caffe._commands.flags import COMMANDS, FLAGS, PROGRAM
from caffe._error import CaffeError
from caffe._log_flags import HEEDED, LOG_FLAGS

# Bash splits --solver=FILE at the = (COMP_WORDBREAKS), so the word after it is a file's name.
_SCRIPT = """_caffe() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} command= flags= choices= i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in {commands}) command=${{COMP_WORDS[i]}}; break ;; esac
    done
    case $command in
{flags}
        *) flags="--help --version --completion=" ;;
    esac
    local flag=${{COMP_WORDS[COMP_CWORD - 1]}}
    if [[ $word == = ]]; then word=; elif [[ $flag == = ]]; then flag=${{COMP_WORDS[COMP_CWORD - 2]}}; fi
    case $flag in
{choices}
    esac
    if [[ -n $choices ]]; then
        COMPREPLY=($(compgen -W "$choices" -- "$word"))
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "--${{word##*-}}"))
        [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace
    elif [[ -z $command && $flag != -* ]]; then
        COMPREPLY=($(compgen -W "{words}" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
        compopt -o filenames
    fi
}}
complete -F _caffe caffe"""


def script(shell: str) -> str:
    """The shell script that completes commands, flags, their values and file names.

    Raises:
        CaffeError: the shell is neither bash nor zsh.
    """
    if shell not in ("bash", "zsh"):
        raise CaffeError(f"--completion={shell}: for bash or zsh; source <(caffe --completion bash)")
    flags, of_log = [], {name: LOG_FLAGS[name] for name in HEEDED}
    for command, program in PROGRAM.commands.items():
        words = [f"--{name}{'=' * flag.takes_value}" for name, flag in {**program.flags, **of_log}.items()]
        flags.append(f'        {command}) flags="{" ".join([*words, "--flagfile=", "--help"])}" ;;')
    choices = [
        f'        --{name} | -{name}) choices="{" ".join(flag.choices)}" ;;'
        for name, flag in FLAGS.items()
        if flag.choices
    ]
    bash = _SCRIPT.format(
        commands=" | ".join(COMMANDS), words=" ".join(COMMANDS), flags="\n".join(flags), choices="\n".join(choices)
    )
    return f"autoload -U +X bashcompinit && bashcompinit\n{bash}" if shell == "zsh" else bash
