"""A look at a data set of images."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from enterprise_lab.course.drawing import finish, panels
from enterprise_lab.data import Images

_EACH = 2


def samples(images: Images) -> Figure:
    """Draw the first training images of each class, their label above."""
    figure, grid = panels(_EACH, images.classes, height=0.75 * _EACH + 0.4)
    for label, column in enumerate(grid.T):
        chosen = np.flatnonzero(images.train_labels == label)[:_EACH]
        column[0].set_title(str(label), fontsize=9)
        for axes, index in zip(column, chosen, strict=False):
            pixels = images.train_images[index].transpose(1, 2, 0)
            axes.imshow(pixels, cmap="gray_r", vmin=0, vmax=1)
        for axes in column:
            axes.set_axis_off()
    return finish(figure, images.source)
