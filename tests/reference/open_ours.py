"""Opens model folders written by `encoder` in transformers, sentence-transformers and CrossEncoder, and compares
their answers with the golden ones.

    pip install -r encoder_requirements.txt
    cargo run --release -p encoder --example rewrite -- crates/encoder/tests/golden OUT
    python open_ours.py OUT
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

GOLDEN = Path(__file__).parents[2] / "crates/encoder/tests/golden"
CLASSES = {
    "masked_lm": "BertForMaskedLM",
    "next_sentence": "BertForNextSentencePrediction",
    "pre_training": "BertForPreTraining",
    "sequence": "BertForSequenceClassification",
    "token": "BertForTokenClassification",
    "span": "BertForQuestionAnswering",
}


def padded(rows):
    tokens = max(map(len, rows))
    return torch.tensor([row + [0] * (tokens - len(row)) for row in rows])


def features(name):
    inputs = json.loads((GOLDEN / name / "inputs.json").read_text())
    mask = padded([[1] * len(row) for row in inputs["rows"]])
    return {"input_ids": padded(inputs["rows"]), "token_type_ids": padded(inputs["types"]), "attention_mask": mask}


def write_tokenizer(folder):
    words = {f"w{at}": at for at in range(41)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0", pad_token="w0").save_pretrained(folder)


def answers(name, folder):
    """What the model says, by the names that the golden files have for it."""
    batch = features(name)
    with torch.no_grad():
        if name.startswith("sentence_"):
            write_tokenizer(folder)
            return {"vectors": SentenceTransformer(str(folder), device="cpu").eval()(batch)["sentence_embedding"]}
        if name in CLASSES:
            model, report = getattr(transformers, CLASSES[name]).from_pretrained(
                folder, output_loading_info=True, attn_implementation="eager"
            )
            assert not report["missing_keys"], report
            out = model.eval()(**batch)
            if name == "pre_training":
                return {"logits": out.prediction_logits, "pair": out.seq_relationship_logits}
            return {"logits": torch.stack([out.start_logits, out.end_logits], -1) if name == "span" else out.logits}
        model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager")
        return {"hidden": model.eval()(**batch).last_hidden_state}


def cross_encoder(folder):
    """The sequence classifier once more, as a CrossEncoder."""
    write_tokenizer(folder)
    model = CrossEncoder(str(folder), device="cpu")
    with torch.no_grad():
        return model.model.eval()(**features("sequence")).logits


def difference(out, expected, name):
    out, expected = out.float(), expected.float()
    if out.dim() == 3:
        mask = features(name)["attention_mask"].bool()
        out, expected = out[mask], expected[mask]
    return (out - expected).abs().max().item()


worst = 0.0
for folder in sorted(Path(sys.argv[1]).iterdir()):
    expected = load_file(GOLDEN / folder.name / "expected.safetensors")
    for key, out in answers(folder.name, folder).items():
        error = difference(out, expected[key], folder.name)
        print(f"{folder.name:16} {key:8} {error:.2e}")
        worst = max(worst, error)
expected = load_file(GOLDEN / "sequence/expected.safetensors")["logits"]
error = difference(cross_encoder(Path(sys.argv[1]) / "sequence"), expected, "sequence")
print(f"{'CrossEncoder':16} {error:.2e}")
assert max(worst, error) <= 1e-5
