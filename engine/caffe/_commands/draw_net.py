"""caffe draw: a picture of a net's prototxt (Caffe's python/draw_net.py)."""

import shutil
from pathlib import Path

from caffe._error import CaffeError, naming
from caffe._files import prototxt
from caffe._files.whole_file import write_file
from caffe._log import logger
from caffe.proto import caffe_pb2


def draw(net_path: str, picture: str, rankdir: str, phase: str, display_lrm: bool) -> None:
    """Draw a net to a file in the format of its extension; .dot or .raw is graphviz's text.

    Raises:
        CaffeError: the net cannot be read, or pydot or graphviz is missing; without graphviz the text is written.
    """
    net = prototxt.read_net_param(net_path)
    try:
        from caffe.draw import draw_net
    except ImportError as error:
        raise CaffeError(f"{picture}: {error}") from None
    path = Path(picture)
    ending = path.suffix.removeprefix(".")
    if not ending:
        raise CaffeError(f"{picture}: its ending says no format; give one, such as {picture}.png, .svg, .pdf or .dot.")
    which = None if phase == "ALL" else caffe_pb2.Phase.Value(phase)
    if ending not in ("dot", "raw") and shutil.which("dot") is None:
        text = path.with_suffix(".dot")
        with naming(net_path):
            drawn = draw_net(net, rankdir, "raw", which, display_lrm)
        write_file(text, drawn)
        raise CaffeError(
            f"{picture}: not drawn, because graphviz is not installed (Debian: apt install graphviz). Its text is in "
            f"{text}; where graphviz is, `dot -T{ending} {text} -o {picture}` draws it."
        )
    with naming(net_path):
        drawn = draw_net(net, rankdir, "raw" if ending == "dot" else ending, which, display_lrm)
    write_file(path, drawn)
    logger.info("Drawing net to %s", picture)
