"""The drawing pad: a network in the page, from the reader's drawing to the answer, with all that lies between."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from lenet_utils.arguments import checked
from lenet_utils.widgets.exchange import describe, write_weights
from lenet_utils.widgets.page import Widget
from lenet_utils.widgets.pictures import sheet


class DrawPad(Widget):
    """A pad on which to draw a digit, and what a trained network makes of it, layer by layer, in the reader's browser.

    The drawing is treated as MNIST's digits were: scaled into 20×20 pixels, centred by mass in 28×28 (LeCun et al.
    1998, section III-A).  Mouse, pen, finger and keyboard all draw; a picture can be dropped or pasted.  Any unit can
    be chosen and is taken apart; kernels can be edited, maps switched off, the digit slid, turned, thickened, and
    noise added.

    Parameters
    ----------
    models : torch.nn.Module or dict of str to torch.nn.Module
        Trained; see :func:`lenet_utils.widgets.exchange.describe` for what can be computed in a page.  Of several, by
        title, the first is at work until the reader chooses another.
    class_names : sequence of str
    scaling : {"standard", "paper", "unit"}, optional
        As in training; by default each model's own ``scaling``, else ``"standard"``.
    samples : tuple of torch.Tensor, optional
        Images (N, 28, 28), uint8, and their labels (N,), for readers who do not want to draw; the first is shown at
        once.

    Raises
    ------
    ValueError
        If a network cannot be computed in a page, reads other images, or has other classes.
    """

    name = "draw-pad"
    programs = ("network", "image", "drawing", "layers", "unit", "draw-pad")

    @checked
    def __init__(
        self,
        models: nn.Module | Mapping[str, nn.Module],
        class_names: Sequence[str | int] = "0123456789",
        scaling: str | None = None,
        samples: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        named = {type(models).__name__: models} if isinstance(models, nn.Module) else dict(models)
        if not named:
            raise ValueError("A DrawPad needs at least one network; got none.")
        networks = [
            {"title": title, "network": describe(model, class_names, scaling)} for title, model in named.items()
        ]
        super().__init__({"networks": networks})
        if samples is not None:
            images, labels = samples
            if labels.is_floating_point() or images.ndim == 0 or labels.ndim != 1:
                raise ValueError("Expected samples as images (N, 28, 28) and labels (N,), whole numbers.")
            if len(images) != len(labels):
                raise ValueError(f"Expected a label for each sample; got {len(images)} images, {len(labels)} labels.")
            labels = labels.tolist()
            if wrong := [label for label in labels if not 0 <= label < len(class_names)]:
                raise ValueError(f"Expected labels from 0 to {len(class_names) - 1}; got {wrong[0]}.")
            names = [class_names[label] for label in labels]
            self.spec["samples"] = {**sheet(images), "names": names, "first": 0}

    def save(self, path: str | os.PathLike) -> None:
        """Write the first network's weights to a file that any pad can load, and
        :func:`lenet_utils.widgets.exchange.read_weights` too.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        write_weights(path, self.spec["networks"][0]["network"])

    def __repr__(self) -> str:
        told = ", ".join(f"{one['title']} with {one['network']['count']:,} numbers" for one in self.spec["networks"])
        return f"DrawPad({told}): shown in notebooks and on the site"
