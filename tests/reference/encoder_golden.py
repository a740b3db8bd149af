"""Writes the golden models of `crates/encoder`: small random models for every head, with inputs and the outputs of
transformers and sentence-transformers in f32.

    pip install -r encoder_requirements.txt
    python encoder_golden.py

With CLOZE_MINILM_DIR set to a folder of all-MiniLM-L6-v2 it also writes what that model answers for eight texts.
Each folder under `crates/encoder/tests/golden/` is a model folder with two files more: `inputs.json` (token ids and
segment ids of each text) and `expected.safetensors`.
"""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from tokenizers import Tokenizer, models as token_models
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    PreTrainedTokenizerFast,
)

GOLDEN = Path(__file__).parents[2] / "crates/encoder/tests/golden"
SIZES = dict(
    vocab_size=41,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=36,
    max_position_embeddings=20,
    type_vocab_size=2,
)
TEXTS = [
    "How do I merge segments in a search index?",
    "Segments are merged when a policy picks them.",
    "cats",
    "The quick brown fox jumps over the lazy dog while the band plays on and on until the morning comes.",
    "Naïve café, 東京, 🙂 and \u200b hidden characters.",
    "parse command line arguments with derive",
    "What does bidirectional attention buy?",
    "0123456789 3.14159 1e-12 0xff",
]


def randomize(model):
    """Every weight away from its initial value, so that none can be left out without being seen."""
    torch.manual_seed(1234)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn_like(value) * 0.25
            value.copy_(1 + noise if name.endswith("LayerNorm.weight") else noise)
    return model.eval()


def inputs():
    """Texts of 1 to 20 tokens with all ids, and segments that change in the middle."""
    generator = torch.Generator().manual_seed(7)
    lengths = [20, 1, 7, 13, 2]
    rows = [torch.randint(1, SIZES["vocab_size"], (n,), generator=generator).tolist() for n in lengths]
    types = [[int(at > n // 2) for at in range(n)] for n in lengths]
    return rows, types


def padded(rows, fill):
    tokens = max(map(len, rows))
    return torch.tensor([row + [fill] * (tokens - len(row)) for row in rows])


def write_case(name, model, outputs):
    folder = GOLDEN / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    write_inputs(folder, *inputs())
    save_file(outputs, folder / "expected.safetensors")


def write_inputs(folder, rows, types):
    (folder / "inputs.json").write_text(json.dumps({"rows": rows, "types": types}) + "\n")


def run(model):
    rows, types = inputs()
    mask = padded([[1] * len(row) for row in rows], 0)
    with torch.no_grad():
        return model(input_ids=padded(rows, 0), token_type_ids=padded(types, 0), attention_mask=mask)


def random_models():
    for name, changes in [
        ("bidirectional", {}),
        ("left_to_right", {"is_decoder": True}),
        ("gelu_tanh", {"hidden_act": "gelu_new"}),
        ("relu", {"hidden_act": "relu", "layer_norm_eps": 1e-5}),
    ]:
        config = BertConfig(**SIZES, **changes, attn_implementation="eager")
        model = randomize(BertModel(config, add_pooling_layer=False))
        write_case(name, model, {"hidden": run(model).last_hidden_state.contiguous()})
    config = BertConfig(**SIZES, num_labels=3, attn_implementation="eager")
    for name, kind in [
        ("masked_lm", BertForMaskedLM),
        ("next_sentence", BertForNextSentencePrediction),
        ("sequence", BertForSequenceClassification),
        ("token", BertForTokenClassification),
    ]:
        model = randomize(kind(config))
        write_case(name, model, {"logits": run(model).logits.contiguous()})
    out = run(model := randomize(BertForPreTraining(config)))
    outputs = {"logits": out.prediction_logits.contiguous(), "pair": out.seq_relationship_logits.contiguous()}
    write_case("pre_training", model, outputs)
    model = randomize(BertForQuestionAnswering(BertConfig(**SIZES, attn_implementation="eager")))
    out = run(model)
    write_case("span", model, {"logits": torch.stack([out.start_logits, out.end_logits], dim=-1)})


def tokenizer_of(folder):
    """A word-level tokenizer over w0 .. w40, because sentence-transformers wants one."""
    words = {f"w{at}": at for at in range(SIZES["vocab_size"])}
    tokenizer = Tokenizer(token_models.WordLevel(words, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0", pad_token="w0").save_pretrained(folder)


def sentence_models():
    for pooling, dense in [("cls", None), ("mean", 10), ("max", None)]:
        base = GOLDEN / "base"
        shutil.rmtree(base, ignore_errors=True)
        config = BertConfig(**SIZES, attn_implementation="eager")
        randomize(BertModel(config, add_pooling_layer=False)).save_pretrained(base)
        tokenizer_of(base)
        parts = [modules.Transformer(str(base)), modules.Pooling(SIZES["hidden_size"], pooling_mode=pooling)]
        if dense:
            parts.append(modules.Dense(SIZES["hidden_size"], dense, activation_function=torch.nn.Tanh()))
            parts.append(modules.Normalize())
        folder = GOLDEN / f"sentence_{pooling}"
        shutil.rmtree(folder, ignore_errors=True)
        model = SentenceTransformer(modules=parts, device="cpu")
        model.save(str(folder), create_model_card=False)
        shutil.rmtree(base)
        for extra in folder.glob("tokenizer*"):
            extra.unlink()
        rows, _ = inputs()
        types = [[0] * len(row) for row in rows]
        mask = padded([[1] * len(row) for row in rows], 0)
        features = {"input_ids": padded(rows, 0), "token_type_ids": padded(types, 0), "attention_mask": mask}
        with torch.no_grad():
            vectors = model.eval()(features)["sentence_embedding"]
        write_inputs(folder, rows, types)
        save_file({"vectors": vectors.contiguous()}, folder / "expected.safetensors")


def real_model(source):
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = SentenceTransformer(source, device="cpu").eval()
    encoded = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        out = model({**encoded})
    folder = GOLDEN / "all_minilm_l6_v2"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = [ids[: sum(mask)] for ids, mask in zip(encoded["input_ids"].tolist(), encoded["attention_mask"].tolist())]
    write_inputs(folder, rows, [[0] * len(row) for row in rows])
    first = out["token_embeddings"][:, 0].contiguous()
    save_file({"vectors": out["sentence_embedding"].contiguous(), "first": first}, folder / "expected.safetensors")


random_models()
sentence_models()
if source := os.environ.get("CLOZE_MINILM_DIR"):
    real_model(source)
