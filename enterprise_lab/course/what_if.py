"""A panel to play with a training run; without a live kernel, a picture that says the same."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from enterprise_lab import catalog
from enterprise_lab.costing import Option, Options, training_options
from enterprise_lab.course import time_pictures
from enterprise_lab.errors import require_whole
from enterprise_lab.estimate import TransformerShape
from enterprise_lab.estimate.flops import Causal

_LOOK: Any = {"style": {"description_width": "11em"}, "layout": {"width": "32em"}}
_COUNTS = (1, 2, 4, 8, 16)
_LENGTHS = (64, 128, 256, 512, 1024)
_BATCHES = (128, 256, 512, 1024, 2048, 4096)


class WhatIf:
    """Sliders for instances, batch, sequence length and steps over the time and cost of a run."""

    def __init__(
        self,
        shape: TransformerShape,
        instances: Sequence[str],
        *,
        sequence_length: int,
        global_batch: int,
        steps: int,
        predicted_share: float | None = None,
        causal: Causal = "full",
    ) -> None:
        require_whole("steps", steps, 10**9)
        self._shape = shape
        self._instances = [catalog.instance(name).name for name in instances]
        self._predicted_share = predicted_share
        self._causal = causal
        lengths = [n for n in _LENGTHS if n <= (shape.max_positions or n)]
        self.count = _choice("instances of a kind", _COUNTS, 1)
        self.global_batch = _choice("sequences in a step", _BATCHES, global_batch)
        self.sequence_length = _choice("tokens in a sequence", lengths, sequence_length)
        self.steps = widgets.FloatSlider(
            value=steps / 1e6, min=0.05, max=max(2.0, steps / 1e6), step=0.05,
            description="million steps", continuous_update=False, **_LOOK,
        )  # fmt: skip
        self._answer = widgets.HTML()
        self._picture = widgets.Image(format="png")
        controls = (self.count, self.global_batch, self.sequence_length, self.steps)
        for control in controls:
            control.observe(self._update, names="value")
        self.box = widgets.VBox([*controls, self._answer, self._picture])
        self._update()

    @property
    def answer(self) -> str:
        """The panel's sentence for the present settings."""
        return str(self._answer.value)

    def _update(self, _change: object = None) -> None:
        by_count = {count: self._options(count) for count in _COUNTS}
        self._answer.value = _sentence(by_count[self.count.value])
        self._picture.value = _png(time_pictures.what_if(by_count, self.count.value))

    def _options(self, count: int) -> Options:
        length, batch = self.sequence_length.value, self.global_batch.value
        return training_options(
            self._shape,
            self._instances,
            sequence_length=length,
            global_batch=batch,
            tokens=self.steps.value * 1e6 * length * batch,
            count=count,
            predicted_share=self._predicted_share,
            causal=self._causal,
        )

    def _repr_mimebundle_(self, **_kwargs: object) -> dict[str, Any]:
        """Give a live front end the widgets, and any other the picture."""
        image = base64.b64encode(bytes(self._picture.value)).decode()
        bundle: dict[str, Any] = self.box._repr_mimebundle_()
        text = re.sub(r"</?b>", "", f"What-if panel. {self.answer}")
        return bundle | {"image/png": image, "text/plain": text}


def _choice(description: str, usual: Sequence[int], value: int) -> widgets.SelectionSlider:
    return widgets.SelectionSlider(
        value=value, options=sorted({*usual, value}), description=description,
        continuous_update=False, **_LOOK,
    )  # fmt: skip


def _sentence(options: Options) -> str:
    possible = [o for o in options if o.training]
    if not possible:
        reasons = {option.reason for option in options}
        return f"None of the instances can do this. {escape(' '.join(sorted(reasons)))}"
    cheapest, fastest = (min(possible, key=of) for of in (lambda o: o.usd, lambda o: o.seconds))
    return (
        f"The cheapest is <b>{_described(cheapest)}</b>, the fastest"
        f" <b>{_described(fastest)}</b> (estimated)."
    )


def _described(option: Option) -> str:
    seconds = option.training.training_seconds if option.training else None
    return escape(f"{option.count} x {option.instance.name}: {seconds}, {option.cost}")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
