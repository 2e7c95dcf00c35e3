"""A BERT with a linear head over the mean of its outputs, and what of it is trained."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.estimate.trainable import Projection, require_trainable
from enterprise_lab.shapes import TransformerShape, shape_from_hf_config
from enterprise_lab.training.finetuning.recipe import FineTuning
from enterprise_lab.training.trainer import not_installed

try:
    import torch
    import transformers
    from safetensors import SafetensorError
    from torch import Tensor, nn
except ImportError as error:
    raise not_installed("PyTorch or transformers") from error

_MODULES: dict[Projection, str] = {
    "query": r"attention\.self\.query",
    "key": r"attention\.self\.key",
    "value": r"attention\.self\.value",
    "output": r"attention\.output\.dense",
    "mlp": r"(intermediate|\d+\.output)\.dense",
}
"""What transformers calls the projections of a BERT's layers."""
WEIGHTS = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"


class Network(nn.Module):
    """An encoder, the mean of its outputs over a text's tokens, and a linear head."""

    def __init__(self, encoder: nn.Module, shape: TransformerShape, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.shape = shape
        self.head = nn.Linear(shape.hidden, classes)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        vectors: Tensor | None = None,
    ) -> Tensor:
        """Return logits, texts x classes, in fp32.

        From tokens and their mask, both texts x length, or from `vectors` that `pooled` returned.
        """
        if vectors is None:
            assert input_ids is not None
            assert attention_mask is not None
            vectors = self.pooled(input_ids, attention_mask)
        with torch.autocast(vectors.device.type, enabled=False):
            logits: Tensor = self.head(vectors)
        return logits

    def pooled(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the mean of a text's outputs, padding left out: texts x hidden, in fp32."""
        states = self.encoder(input_ids, attention_mask=attention_mask).last_hidden_state.float()
        kept = attention_mask.unsqueeze(-1)
        mean: Tensor = (states * kept).sum(dim=1) / kept.sum(dim=1)
        return mean

    def trained(self) -> dict[str, Tensor]:
        """Return the parameters that are trained, by name."""
        return {name: w for name, w in self.named_parameters() if w.requires_grad}


def build(
    weights: Path, recipe: FineTuning, classes: int, *, kind: str = "cpu", pretrained: bool = True
) -> Network:
    """Load a BERT's weights from a folder and put an untrained head on it, on the device `kind`.

    With `pretrained` false the encoder has the same shape and random weights. The head's and the
    adapters' first weights are drawn by the recipe's seed. A frozen encoder stays in eval mode.

    Raises LabError for a folder that holds no BERT, and for a recipe that asks for more than the
    model has.
    """
    shape = read_shape(weights)
    require_fit(recipe, shape)
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        # The processor's alone, which draws all weights: torch.manual_seed sets every GPU's too.
        torch.default_generator.manual_seed(recipe.seed)
        encoder = _encoder(weights, recipe, kind, pretrained)
        network = Network(_with_trained_parts(encoder, recipe), shape, classes)
    return network.to(kind)


def read_shape(weights: Path) -> TransformerShape:
    """Return the shape of the BERT in a folder, without its pooler, which isn't used.

    Raises LabError for a folder without a BERT's config.json.
    """
    file = weights / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(
            f"{weights} holds no config.json that can be read.",
            'Give the folder of a BERT, such as data.fetch("minilm").',
        ) from error
    model_type = config.get("model_type") if isinstance(config, dict) else None
    if model_type != "bert":
        raise LabError(
            f"{weights} holds a model of type {model_type!r}, not a BERT.",
            'Give the folder of a BERT, such as data.fetch("minilm").',
        )
    return replace(shape_from_hf_config(config), pooler=False)


def require_fit(recipe: FineTuning, shape: TransformerShape) -> None:
    """Raise InvalidValueError for a recipe that asks for more than a model has."""
    require_trainable(recipe.trainable, shape)
    if recipe.sequence_length > shape.max_positions:
        raise InvalidValueError(
            f"A sequence_length of {recipe.sequence_length:,} is more than the model's"
            f" {shape.max_positions:,} positions.",
            f"Use a sequence_length of at most {shape.max_positions:,}.",
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from logging and from drawing bars, and leave it as it was set before."""
    log: Any = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def _encoder(weights: Path, recipe: FineTuning, kind: str, pretrained: bool) -> Any:
    # On processors the backward pass of PyTorch's fused attention is slow in bf16.
    eager = kind == "cpu" and recipe.precision == "bf16"
    config = transformers.BertConfig.from_pretrained(
        weights,
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=recipe.dropout,
        attn_implementation="eager" if eager else "sdpa",
        use_cache=False,
    )
    if not pretrained:
        return transformers.BertModel(config, add_pooling_layer=False)
    if not any((weights / name).is_file() for name in WEIGHTS):
        raise LabError(
            f"{weights} holds no weights: none of {', '.join(WEIGHTS)}.",
            "Give a folder with them, or train from random ones with pretrained=False.",
        )
    try:
        loaded: Any = transformers.BertModel.from_pretrained(
            weights,
            config=config,
            add_pooling_layer=False,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        why = str(error).strip().partition("\n")[0].rstrip(".")
        raise LabError(
            f"The weights in {weights} can't be read: {why}.",
            "Fetch them again, or give another folder.",
        ) from error
    encoder, found = loaded
    if missing := sorted(found["missing_keys"]):  # else transformers leaves them at random
        raise LabError(
            f"The weights in {weights} lack {len(missing)} of the model's, such as {missing[0]}.",
            "Fetch them again, or give another folder.",
        )
    return encoder


def _with_trained_parts(encoder: Any, recipe: FineTuning) -> nn.Module:
    if recipe.method == "head":
        return _Frozen(encoder)
    parts: nn.Module = encoder if recipe.method == "full" else _adapted(encoder, recipe)
    if recipe.recompute:
        encoder.activation_checkpointing_enable({"use_reentrant": False})
        # Or gradients of frozen layers' inputs would be computed below the first adapter.
        encoder.disable_input_require_grads()
    return parts


def _adapted(encoder: Any, recipe: FineTuning) -> Any:
    try:
        import peft
    except ImportError as error:
        raise not_installed("peft") from error
    adapters = peft.LoraConfig(
        r=recipe.rank,
        lora_alpha=2 * recipe.rank,
        lora_dropout=recipe.dropout,
        target_modules=rf".*\.({'|'.join(_MODULES[target] for target in recipe.targets)})",
    )
    with warnings.catch_warnings():  # it asks transformers by a name that is no longer used
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        return peft.get_peft_model(encoder, adapters)


class _Frozen(nn.Module):
    """An encoder that isn't trained: no gradients, no dropout."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> _Frozen:  # noqa: ARG002  (stays as it is)
        """Stay in eval mode, whatever the network around it is in."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        """Return what the encoder does."""
        return self.encoder(input_ids, attention_mask=attention_mask)
