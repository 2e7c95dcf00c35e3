"""Real modules without weights, and what PyTorch counts when they run."""

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

SMALL_LLAMA = {
    "vocab_size": 1000, "hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 8,
    "num_key_value_heads": 2, "intermediate_size": 700, "attn_implementation": "eager",
}  # fmt: skip


def without_weights(architecture: str, config) -> torch.nn.Module:
    with torch.device("meta"):
        return getattr(transformers, architecture)(config)


def bert(**sizes) -> torch.nn.Module:
    config = transformers.BertConfig(attn_implementation="eager", **sizes)
    return without_weights("BertForPreTraining", config)


def gpt2(**sizes) -> torch.nn.Module:
    config = transformers.GPT2Config(attn_implementation="eager", **sizes)
    return without_weights("GPT2LMHeadModel", config)


def llama(**sizes) -> torch.nn.Module:
    return without_weights("LlamaForCausalLM", transformers.LlamaConfig(**SMALL_LLAMA | sizes))


def mistral(**sizes) -> torch.nn.Module:
    config = transformers.MistralConfig(**SMALL_LLAMA | {"head_dim": 48} | sizes)
    return without_weights("MistralForCausalLM", config)


def mixtral(**sizes) -> torch.nn.Module:
    experts = {"num_local_experts": 6, "num_experts_per_tok": 2}
    config = transformers.MixtralConfig(**SMALL_LLAMA | experts | sizes)
    config._experts_implementation = "batched_mm"  # The counter knows no grouped product.
    return without_weights("MixtralForCausalLM", config)


def falcon(**sizes) -> torch.nn.Module:
    config = transformers.FalconConfig(
        vocab_size=1000, hidden_size=256, num_hidden_layers=3, num_attention_heads=8,
        attn_implementation="eager", **sizes,
    )  # fmt: skip
    return without_weights("FalconForCausalLM", config)


def opt(**sizes) -> torch.nn.Module:
    config = transformers.OPTConfig(
        vocab_size=1000, hidden_size=256, num_hidden_layers=3, num_attention_heads=8,
        ffn_dim=1024, word_embed_proj_dim=96, do_layer_norm_before=False,
        attn_implementation="eager", **sizes,
    )  # fmt: skip
    return without_weights("OPTForCausalLM", config)


def t5(**sizes) -> torch.nn.Module:
    config = transformers.T5Config(
        vocab_size=1000, d_model=256, d_kv=40, num_heads=8, d_ff=800, num_layers=3,
        num_decoder_layers=2, feed_forward_proj="gated-gelu", **sizes,
    )  # fmt: skip
    return without_weights("T5ForConditionalGeneration", config)


def resnet50() -> torch.nn.Module:
    return without_weights(
        "ResNetForImageClassification", transformers.ResNetConfig(num_labels=1000)
    )


def tokens(batch: int, length: int) -> torch.Tensor:
    return torch.zeros((batch, length), dtype=torch.long, device="meta")


def counted(run, *, backward: bool = False) -> int:
    """FLOPs that PyTorch counts while `run` makes its output, and its gradients."""
    counter = FlopCounterMode(display=False)
    with counter:
        output = run()
        if backward:
            logits = [value for name, value in output.items() if name.endswith("logits")]
            sum(one.sum() for one in logits).backward()
    return counter.get_total_flops()


class Adapted(torch.nn.Module):
    """A frozen linear layer with a low-rank adapter beside it (Hu et al. 2021, section 4.1)."""

    def __init__(self, frozen: torch.nn.Linear, rank: int):
        super().__init__()
        self.frozen = frozen
        self.down = torch.nn.Linear(frozen.in_features, rank, bias=False, device="meta")
        self.up = torch.nn.Linear(rank, frozen.out_features, bias=False, device="meta")

    def forward(self, x):
        return self.frozen(x) + self.up(self.down(x))


def adapt(module: torch.nn.Module, rank: int, names: tuple[str, ...]) -> torch.nn.Module:
    """Freeze a module, and adapt the linear layers whose last name is one of `names`."""
    module.requires_grad_(False)
    found = [name for name, one in module.named_modules()
             if isinstance(one, torch.nn.Linear) and name.split(".")[-1] in names]  # fmt: skip
    for name in found:
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, Adapted(module.get_submodule(name), rank))
    return module
