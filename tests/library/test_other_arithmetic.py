"""A model that Transformers' own class would compute otherwise than its author is refused, with the reason."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

import sbert_prune
from sbert_prune.errors import EncoderError
from sbert_prune.layers import LayerSelection
from sbert_prune.models.architectures import ARCHITECTURES
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.sentence import load_saved
from sbert_prune.pruning import prune_checkpoint


def configure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def add_tensors(folder, *names, prefix=""):
    """Add tensors to the weights, and put a prefix before those that are there."""
    path = folder / "model.safetensors"
    tensors = {prefix + name: tensor for name, tensor in load_file(path).items()}
    save_file(tensors | {name: torch.ones(4) for name in names}, path, metadata={"format": "pt"})


def refusal(folder):
    with pytest.raises(EncoderError) as caught:
        inspect_checkpoint(folder)
    return str(caught.value)


@pytest.fixture(scope="module")
def bases(tmp_path_factory, tiny_encoder, tiny_tokenizer):
    """A function that returns a saved encoder of two layers, made once for each architecture."""
    made = tmp_path_factory.mktemp("bases")

    def base(model_type):
        folder = made / model_type
        if not folder.is_dir():
            encoder = tiny_encoder(model_type, depth=2)
            encoder.save_pretrained(folder)
            tiny_tokenizer(encoder.config.pad_token_id).save_pretrained(folder)
        return folder

    return base


@pytest.fixture
def copied(bases, tmp_path):
    """A function that returns a copy of such an encoder, to be changed."""
    return lambda model_type: shutil.copytree(bases(model_type), tmp_path / "base")


WITHOUT_A_PLACE = [
    ("bert", "encoder.layer.0.attention.self.distance_embedding.weight"),
    ("roberta", "encoder.layer.1.attention.self.distance_embedding.weight"),
    ("electra", "encoder.layer.1.attention.self.distance_embedding.weight"),
    ("camembert", "encoder.layer.0.attention.self.query.lora_A.default.weight"),
    ("xlm-roberta", "encoder.layer.0.output.adapters.news.adapter_down.0.weight"),
    ("bert", "encoder.layer.1.mlp.gated_layers.weight"),
    ("bert", "embeddings.task_type_embeddings.weight"),
    ("bert", "encoder.relative_attention_bias.weight"),
    ("roberta", "encoder.LayerNorm.weight"),
    ("mpnet", "encoder.layer.0.attention.self.query.weight"),
    ("distilbert", "transformer.layer.0.adapter.weight"),
    ("deberta-v2", "encoder.layer.0.attention.self.distance_embedding.weight"),
    ("modernbert", "layers.0.attn_norm.weight"),
    ("modernbert", "layers.1.attn.Wqkv.bias"),
    ("t5", "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"),
    ("llama", "layers.0.self_attn.q_proj.bias"),
    ("qwen2", "layers.0.self_attn.q_norm.weight"),
    ("gemma2", "layers.1.self_attn.k_norm.weight"),
]


@pytest.mark.parametrize(("model_type", "name"), WITHOUT_A_PLACE)
def test_a_tensor_that_the_class_has_no_place_for_is_refused_by_its_name(copied, model_type, name):
    folder = copied(model_type)
    add_tensors(folder, name)

    message = refusal(folder)

    assert f"the weights have {name}, for which Transformers' {model_type} has no place" in message
    assert "Merge adapters into the weights first" in message


def test_below_the_prefix_of_a_model_with_a_head_everything_is_the_encoders(copied):
    folder = copied("bert")
    add_tensors(
        folder, "bert.prefix_tuning.wte.weight", "bert.embeddings.position_ids", "prefix.weight", prefix="bert."
    )

    message = refusal(folder)

    assert "the weights have prefix_tuning.wte.weight, for which" in message


LEFT_OVER = [
    ("bert", "embeddings.position_ids", ""),
    ("bert", "cls.predictions.transform.dense.weight", ""),
    ("bert", "bert.embeddings.position_ids", "bert."),
    ("bert", "cls.seq_relationship.weight", "bert."),
    ("roberta", "lm_head.dense.weight", ""),
    ("roberta", "classifier.out_proj.weight", "roberta."),
    ("electra", "discriminator_predictions.dense.weight", "electra."),
    ("distilbert", "vocab_transform.weight", "distilbert."),
    ("deberta-v2", "mask_predictions.dense.weight", "deberta."),
    ("llama", "layers.{layer}.self_attn.rotary_emb.inv_freq", ""),
    ("llama", "lm_head.weight", "model."),
    ("mpnet", "linear.weight", ""),
]


@pytest.mark.parametrize(("model_type", "name", "prefix"), LEFT_OVER)
def test_heads_and_buffers_that_are_left_over_stay_accepted(copied, model_type, name, prefix):
    folder = copied(model_type)
    add_tensors(folder, *{name.format(layer=layer) for layer in range(2)}, prefix=prefix)

    checkpoint = inspect_checkpoint(folder)

    load_saved(checkpoint)


SWITCHES = [
    ("llama", {"attention_bias": True, "mlp_bias": True}),
    ("qwen3", {"attention_bias": True}),
    ("gemma", {"attention_bias": True}),
    ("gemma2", {"attention_bias": True}),
    ("gemma3_text", {"attention_bias": True}),
    ("modernbert", {"attention_bias": True, "mlp_bias": True, "norm_bias": True}),
    ("deberta-v2", {"share_att_key": False}),
    ("electra", {"embedding_size": 8}),
    ("t5", {"feed_forward_proj": "gated-gelu"}),
]


@pytest.mark.parametrize(("model_type", "switched"), SWITCHES)
def test_the_table_knows_what_the_class_has_when_a_setting_is_on(bases, model_type, switched):
    config = AutoConfig.from_pretrained(bases(model_type), **switched)
    with torch.device("meta"):
        names = AutoModel.from_config(config).state_dict()

    row = ARCHITECTURES[model_type]
    in_config = config.to_dict()
    encoder = [name for name in names if not name.startswith(("decoder.", "pooler."))]
    assert [name for name in encoder if not row.uses(name, in_config)] == []


OTHERWISE = [
    ("bert", {"auto_map": {"AutoModel": "modeling_bert.JinaBertModel"}}, "AutoModel: modeling_bert.JinaBertModel"),
    ("roberta", {"auto_map": {"AutoConfig": "configuration.Own"}}, "needs its own code (AutoConfig: configuration.Own"),
    (
        "xlm-roberta",
        {"auto_map": {"AutoModelForMaskedLM": "org/code--own.Own"}},
        "(AutoModelForMaskedLM: org/code--own",
    ),
    (
        "qwen2",
        {"auto_map": {"AutoModel": "modeling_qwen.Qwen2Model"}},
        "Transformers' qwen2 would give other embeddings",
    ),
    ("bert", {"position_embedding_type": "relative_key_query"}, "position_embedding_type=relative_key_query"),
    ("roberta", {"position_embedding_type": "relative_key"}, "Take a model with position_embedding_type=absolute."),
    ("electra", {"position_embedding_type": "relative_key"}, "Transformers' electra no longer computes"),
    ("camembert", {"position_embedding_type": "alibi"}, "position_embedding_type=alibi"),
    ("deberta-v2", {"pos_att_type": ["c2p", "p2p"]}, "pos_att_type=p2p"),
    ("deberta-v2", {"pos_att_type": "p2p|c2p"}, "Take a model with pos_att_type=c2p or p2c."),
    (
        "bert",
        {"quantization_config": {"quant_method": "bitsandbytes"}},
        "quantised weights (quantization_config in config",
    ),
    ("llama", {"quantization_config": {"bits": 4}}, "Give the model's unquantised weights."),
]


@pytest.mark.parametrize(("model_type", "changes", "reason"), OTHERWISE)
def test_a_config_that_changes_the_arithmetic_is_refused_for_its_own_reason(copied, model_type, changes, reason):
    folder = copied(model_type)
    configure(folder, **changes)

    message = refusal(folder)

    assert reason in message
    assert "etch" not in message


HARMLESS = [
    ("bert", {"position_embedding_type": "absolute", "auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}}),
    ("modernbert", {"position_embedding_type": "absolute", "quantization_config": None}),
    ("deberta-v2", {"pos_att_type": "p2c|c2p", "auto_map": None}),
    ("roberta", {"position_embedding_type": None, "quantization_config": {}, "auto_map": {}}),
]


@pytest.mark.parametrize(("model_type", "changes"), HARMLESS)
def test_a_config_that_says_what_the_class_computes_is_read(copied, model_type, changes):
    folder = copied(model_type)
    configure(folder, **changes)

    assert inspect_checkpoint(folder).depth == 2


def test_an_adapter_beside_the_weights_has_to_be_merged_first(copied):
    folder = copied("bert")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')

    assert "has an adapter (adapter_config.json)" in refusal(folder)
    assert "merge_and_unload()" in refusal(folder)


def test_an_adapter_alone_is_told_as_such(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')

    assert "Merge it into the encoder's weights first" in refusal(tmp_path)


def test_weights_of_something_else_do_not_travel_into_a_pruned_folder(copied, tmp_path):
    folder = copied("bert")
    for name in ("adapter_model.safetensors", "consolidated.safetensors", "model.fp16.safetensors"):
        shutil.copy(folder / "model.safetensors", folder / name)

    prune_checkpoint(folder, LayerSelection((0,), 2), tmp_path / "out")

    assert [path.name for path in (tmp_path / "out").glob("*.safetensors")] == ["model.safetensors"]


@pytest.mark.parametrize("kind", ["custom_st.Transformer", "org/name--custom_st.Transformer"])
def test_a_module_of_its_own_code_is_refused(copied, kind):
    folder = copied("bert")
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": kind}]))

    assert f"needs its own code ({kind} in modules.json)" in refusal(folder)


@pytest.mark.parametrize(
    "open_door",
    [
        lambda folder: prune_checkpoint(folder, LayerSelection((0,), 2), folder.parent / "out"),
        lambda folder: sbert_prune.prune(folder, 1),
        sbert_prune.load,
        lambda folder: sbert_prune.evaluate(folder, "quickstart"),
    ],
    ids=["prune_checkpoint", "prune", "load", "evaluate"],
)
def test_every_door_of_the_library_refuses_and_writes_nothing(copied, tmp_path, open_door):
    folder = copied("bert")
    add_tensors(folder, WITHOUT_A_PLACE[0][1])

    with pytest.raises(EncoderError, match="has no place"):
        open_door(folder)

    assert not (tmp_path / "out").exists()


def test_what_the_loaded_class_leaves_out_is_refused_too_where_the_table_knows_the_name(copied):
    folder = copied("deberta-v2")  # which has projections of positions where they are not shared
    add_tensors(folder, *(f"encoder.layer.{layer}.attention.self.pos_key_proj.weight" for layer in range(2)))
    checkpoint = inspect_checkpoint(folder)

    with pytest.raises(EncoderError, match=r"pos_key_proj\.weight, for which Transformers' deberta-v2 has no place"):
        load_saved(checkpoint)
