"""A net as a picture: a bar for each layer, as high as its maps, with its channels."""

from markupsafe import Markup

from report.figure import plot
from report.nets import Net
from report.palette import LIGHT

_COLOURS = {
    "input": "muted",
    "convolution": "blue",
    "1 x 1 convolution": "sky",
    "pooling": "orange",
    "normalisation": "purple",
    "fully connected": "green",
}


def net(shown: Net, name: str) -> Markup:
    """The net's layers from the input on."""
    told = ", ".join(f"{step.name} {step.channels} x {step.side} x {step.side}" for step in shown.steps)
    with plot(name, f"Layers of {shown.name}: {told}", height=3.4) as drawing:
        axes = drawing.axes
        for at, step in enumerate(shown.steps):
            bar = axes.bar(at, step.side, width=0.8, color=LIGHT[_COLOURS[step.kind]], label=step.kind)
            axes.bar_label(bar, [f"{step.channels}"], fontsize=8, padding=2, color=LIGHT["ink"],
                           rotation=90 if step.channels > 999 else 0)  # fmt: skip
        labels = [f"{step.name} {step.kernel}\N{MULTIPLICATION SIGN}{step.kernel}" if step.kernel else step.name
                  for step in shown.steps]  # fmt: skip
        axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=8.5)
        axes.tick_params(axis="x", length=0)
        # On this scale, halving the maps is one step down at any size.
        sides = sorted({step.side for step in shown.steps})
        axes.set_yscale("log", base=2)
        axes.set_ylim(0.6, 1.6 * sides[-1])
        axes.set_yticks(sides, [str(side) for side in sides])
        axes.minorticks_off()
        axes.set_ylabel("side of the maps")
        handles = dict(zip(*reversed(axes.get_legend_handles_labels())))
        axes.legend(handles.values(), handles.keys(), loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3,
                    borderaxespad=0.2, handlelength=1.2)  # fmt: skip
    return drawing.svg
