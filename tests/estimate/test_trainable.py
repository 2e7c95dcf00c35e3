"""Adapters against the LoRA paper and against real ones beside real projections."""

import peft
import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from enterprise_lab import catalog
from enterprise_lab.errors import InvalidValueError
from enterprise_lab.estimate.memory import training_memory
from enterprise_lab.estimate.plan import Plan
from enterprise_lab.estimate.trainable import LowRank
from enterprise_lab.shapes import shape_from_hf_config


def test_adapters_of_the_lora_paper():
    # Hu et al. 2021, section 4.2: rank 4 on query and value of GPT-3, a checkpoint of 35 MB.
    shape = catalog.model("gpt-3-175b").shape
    assert LowRank(rank=4).parameters(shape) == 96 * 2 * 2 * 12288 * 4
    assert 2 * LowRank(rank=4).parameters(shape) / 2**20 == pytest.approx(35, rel=0.03)


def test_weights_of_the_lora_paper():
    # Section 4.2: 350 GB instead of 1.2 TB, the frozen weights in 16 bits.
    terms = training_memory(
        catalog.model("gpt-3-175b").shape,
        sequence_length=1,
        plan=Plan(),
        trainable=LowRank(rank=4),
    )
    states = ("weights", "gradients", "optimizer states")
    assert sum(terms[name] for name in states) == pytest.approx(350e9, rel=0.01)


@pytest.mark.parametrize("targets", [("query", "value"), ("key", "output"), ("mlp",)])
def test_adapters_beside_every_projection_of_a_real_model(targets):
    config = transformers.MixtralConfig(
        num_hidden_layers=3, hidden_size=64, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=96, vocab_size=100, num_local_experts=4, num_experts_per_tok=2,
    )  # fmt: skip
    with torch.device("meta"):
        model = transformers.MixtralForCausalLM(config)
    names = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
    expected = 0
    for name, parameter in model.named_parameters():
        sizes = parameter.shape[-2:]
        if "experts" in name and "mlp" in targets:
            # The gate and the other projection to the feed-forward width are one tensor.
            fused = 2 if "gate_up" in name else 1
            each = fused * (sizes[0] // fused + sizes[1])
            expected += parameter.shape[0] * 5 * each
        elif any(names.get(target, "-") in name for target in targets):
            expected += 5 * sum(sizes)
    assert expected > 0
    shape = shape_from_hf_config(config.to_dict())
    assert LowRank(rank=5, targets=targets).parameters(shape) == expected


class Moved(TorchDispatchMode):
    """Counts the elements that operations read and write."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        if not operation.is_view and operation is not torch.ops.aten.detach.default:
            tensors = tree_leaves((args, kwargs, made))
            self.elements += sum(t.numel() for t in tensors if isinstance(t, torch.Tensor))
        return made


def test_elements_that_real_adapters_move():
    rows, hidden, ffn = 50_000, 48, 160
    shape = shape_from_hf_config(
        {"model_type": "bert", "num_hidden_layers": 1, "hidden_size": hidden, "vocab_size": 10,
         "num_attention_heads": 2, "intermediate_size": ffn, "max_position_embeddings": 8}
    )  # fmt: skip
    told = torch.tensor(LowRank(rank=1, targets=("mlp",)).moved_elements(shape))
    found = torch.zeros(2)
    for inputs, outputs in ((hidden, ffn), (ffn, hidden)):
        plain = torch.nn.Sequential(torch.nn.Linear(inputs, outputs)).requires_grad_(False)
        for sign, adapted in ((-1, False), (1, True)):
            if adapted:
                plain = peft.get_peft_model(plain, peft.LoraConfig(r=1, target_modules=["0"]))
            given = torch.ones(rows, inputs).requires_grad_() * 1
            with Moved() as forward:
                answer = plain(given)
            gradient = torch.ones_like(answer)
            with Moved() as backward:
                torch.autograd.backward(answer, gradient, inputs=[given, *trained(plain)])
            found += sign * torch.tensor([forward.elements, backward.elements]) / rows
    assert told.tolist() == pytest.approx(found.tolist(), rel=0.05)


def trained(network):
    return [weight for weight in network.parameters() if weight.requires_grad]


@pytest.mark.parametrize(
    "arguments",
    [{"rank": 0}, {"targets": ()}, {"targets": ("router",)}, {"base_bits": 3}],
)
def test_adapters_that_cannot_be_are_refused(arguments):
    with pytest.raises(InvalidValueError):
        LowRank(**arguments)


def test_a_convolutional_network_has_no_projections_to_adapt():
    with pytest.raises(InvalidValueError, match="LoRA adapts"):
        training_memory(catalog.model("resnet50").shape, trainable=LowRank())


def test_what_is_trained_must_be_known():
    with pytest.raises(InvalidValueError, match="'all', 'head' or LowRank"):
        training_memory(catalog.model("gpt2").shape, sequence_length=8, trainable="bottom")
