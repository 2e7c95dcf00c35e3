"""A panel to play with a training run; without a live kernel, a picture that says the same."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from enterprise_lab import catalog, costing, estimate
from enterprise_lab.course import pictures
from enterprise_lab.errors import require_whole
from enterprise_lab.estimate import Efficiency, Plan, TransformerShape
from enterprise_lab.estimate.flops import Causal
from enterprise_lab.units import format_seconds, format_usd

_SHARES = np.linspace(0.05, 0.6, 23)


class WhatIf:
    """Sliders for efficiency, sequence length and steps over time and cost on some instances."""

    def __init__(
        self,
        shape: TransformerShape,
        instances: Sequence[str],
        *,
        sequence_length: int,
        global_batch: int,
        steps: int,
        efficiency: float,
        predicted_share: float = 1.0,
        causal: Causal = "full",
    ) -> None:
        require_whole("steps", steps, 10**9)
        self._shape = shape
        self._instances = [catalog.instance(name) for name in instances]
        self._predicted_share = predicted_share
        self._causal = causal
        self._global_batch = global_batch
        lengths = sorted({n for n in (64, 128, 256, 512, 1024) if _fits(shape, n)}
                         | {sequence_length})  # fmt: skip
        style = {"style": {"description_width": "11em"}, "layout": {"width": "32em"}}
        self.efficiency = widgets.FloatSlider(
            value=round(100 * efficiency, 1), min=5, max=60, step=0.1,
            description="share of peak (%)", readout_format=".1f", continuous_update=False, **style,
        )  # fmt: skip
        self.sequence_length = widgets.SelectionSlider(
            value=sequence_length, options=lengths, description="sequence length",
            continuous_update=False, **style,
        )  # fmt: skip
        self.steps = widgets.FloatSlider(
            value=steps / 1e6, min=0.05, max=max(2.0, steps / 1e6), step=0.05,
            description="million steps", continuous_update=False, **style,
        )  # fmt: skip
        self._answer = widgets.HTML()
        self._picture = widgets.Image(format="png")
        controls = (self.efficiency, self.sequence_length, self.steps)
        for control in controls:
            control.observe(self._update, names="value")
        self.box = widgets.VBox([*controls, self._answer, self._picture])
        self._update()

    @property
    def answer(self) -> str:
        """The panel's sentence for the present settings."""
        return str(self._answer.value)

    def _update(self, _change: object = None) -> None:
        share = self.efficiency.value / 100
        now = {i.name: self._point(i, share) for i in self._instances}
        cheapest = min(now, key=lambda name: now[name][1])
        fastest = min(now, key=lambda name: now[name][0])
        self._answer.value = (
            f"At {self.efficiency.value:.1f} % of peak the cheapest is"
            f" <b>{_sentence(cheapest, now[cheapest])}</b>,"
            f" the fastest <b>{_sentence(fastest, now[fastest])}</b> (estimated)."
        )
        self._picture.value = _png(self._figure(share))

    def _figure(self, chosen: float) -> Figure:
        shares = [float(share) for share in _SHARES]
        curves = {i.name: [self._point(i, share) for share in shares] for i in self._instances}
        return pictures.what_if(curves, shares, chosen)

    def _point(self, instance: catalog.Instance, share: float) -> tuple[float, float]:
        chip, devices, _ = costing.whole_devices(instance)
        length = self.sequence_length.value
        training = estimate.training(
            self._shape,
            sequence_length=length,
            global_batch=self._global_batch,
            accelerator=chip,
            efficiency=Efficiency(share, "the slider"),
            plan=Plan(data=devices, micro_batch=1),
            tokens=self.steps.value * 1e6 * length * self._global_batch,
            predicted_share=self._predicted_share,
            causal=self._causal,
        )
        cost = costing.on_demand(training.training_seconds, instance.name)
        return training.training_seconds.value, cost.value

    def _repr_mimebundle_(self, **_kwargs: object) -> dict[str, Any]:
        """Give a live front end the widgets, and any other the picture."""
        image = base64.b64encode(bytes(self._picture.value)).decode()
        bundle: dict[str, Any] = self.box._repr_mimebundle_()
        text = re.sub(r"</?b>", "", f"What-if panel. {self.answer}")
        return bundle | {"image/png": image, "text/plain": text}


def _fits(shape: TransformerShape, length: int) -> bool:
    return not shape.max_positions or length <= shape.max_positions


def _sentence(name: str, point: tuple[float, float]) -> str:
    seconds, usd = point
    return escape(f"{name}: {format_seconds(seconds)}, {format_usd(usd)}")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
