"""Writes the golden loss curves of `crates/trainer`: 200 steps of training in PyTorch for a masked language model,
a classifier, a reader and a sentence encoder, from the same weights over the same batches.

    pip install -r encoder_requirements.txt
    python train_curves.py

The arithmetic is that of transformers' models in f64, so that the curve is not one of many that rounding allows; the
script prints how far PyTorch's own f32 strays from it. There is no dropout. Optimizer and schedule are PyTorch's
AdamW without decay on biases and norms, gradients clipped to norm 1, and a linear schedule whose rate is taken in the
middle of each step.
"""

import json
import random
import zlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy, normalize
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
)

GOLDEN = Path(__file__).parents[2] / "crates/trainer/tests/golden/curves"
STEPS, BATCHES, TEXTS = 200, 8, 8
SETTINGS = dict(learning_rate=2e-3, beta1=0.9, beta2=0.98, epsilon=1e-8, weight_decay=0.01, clip_norm=1.0)
WARMUP, SCALE, LABELS = 0.1, 5.0, 3
SIZES = dict(
    vocab_size=48,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=24,
    type_vocab_size=2,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    num_labels=LABELS,
)


def make_batches():
    """Ragged texts with what each task asks about them; pairs of texts for the sentence encoder."""
    choose = random.Random(7)
    text = lambda: [choose.randrange(4, SIZES["vocab_size"]) for _ in range(choose.randint(5, 20))]
    batches = []
    for _ in range(BATCHES):
        rows = [text() for _ in range(TEXTS)]
        types = [[int(2 * at >= len(row)) for at in range(len(row))] for row in rows]
        places = [sorted(choose.sample(range(1, len(row)), 3)) for row in rows]
        starts = [choose.randrange(len(row)) for row in rows]
        ends = [choose.randrange(start, len(row)) for start, row in zip(starts, rows)]
        batches.append({
            "rows": rows,
            "types": types,
            "places": places,
            "targets": [[choose.randrange(4, SIZES["vocab_size"]) for _ in row] for row in places],
            "labels": [choose.randrange(LABELS) for _ in rows],
            "starts": starts,
            "ends": ends,
            "others": [text() for _ in rows],
        })
    return batches


def padded(rows, fill=0):
    tokens = max(map(len, rows))
    return torch.tensor([row + [fill] * (tokens - len(row)) for row in rows])


def inputs(rows, types=None):
    types = types or [[0] * len(row) for row in rows]
    mask = padded([[1] * len(row) for row in rows])
    return {"input_ids": padded(rows), "token_type_ids": padded(types), "attention_mask": mask}


def mlm_loss(model, batch):
    labels = [[-100] * len(row) for row in batch["rows"]]
    for row, places, targets in zip(labels, batch["places"], batch["targets"]):
        for place, target in zip(places, targets):
            row[place] = target
    return model(**inputs(batch["rows"], batch["types"]), labels=padded(labels, -100)).loss


def class_loss(model, batch):
    return model(**inputs(batch["rows"], batch["types"]), labels=torch.tensor(batch["labels"])).loss


def span_loss(model, batch):
    """Of transformers' loss, without the padding among the places to choose from."""
    features = inputs(batch["rows"], batch["types"])
    out = model(**features)
    absent = features["attention_mask"] == 0
    losses = [
        cross_entropy(logits.masked_fill(absent, -torch.inf), torch.tensor(batch[key]))
        for logits, key in [(out.start_logits, "starts"), (out.end_logits, "ends")]
    ]
    return sum(losses) / 2


def embed(model, rows):
    features = inputs(rows)
    hidden = model.bert(**features).last_hidden_state
    mask = features["attention_mask"].unsqueeze(2).to(hidden.dtype)
    return normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)


def pair_loss(model, batch):
    similarities = embed(model, batch["rows"]) @ embed(model, batch["others"]).T
    return cross_entropy(SCALE * similarities, torch.arange(TEXTS))


TASKS = {
    "mlm": (BertForMaskedLM, mlm_loss),
    "classify": (BertForSequenceClassification, class_loss),
    "reader": (BertForQuestionAnswering, span_loss),
    "pairs": (BertForMaskedLM, pair_loss),
}


def rate(step):
    """Up in a straight line to the end of the warm-up, down in one to the end of the run."""
    progress = (step + 0.5) / STEPS
    factor = progress / WARMUP if progress < WARMUP else 1 - (progress - WARMUP) / (1 - WARMUP)
    return SETTINGS["learning_rate"] * factor


def follow(model, loss_of, batches):
    """The loss before each step."""
    used = list(model.named_parameters())
    groups = [
        {"params": [p for _, p in used if p.dim() > 1], "weight_decay": SETTINGS["weight_decay"]},
        {"params": [p for _, p in used if p.dim() == 1], "weight_decay": 0.0},
    ]
    betas = (SETTINGS["beta1"], SETTINGS["beta2"])
    adam = torch.optim.AdamW(groups, lr=SETTINGS["learning_rate"], betas=betas, eps=SETTINGS["epsilon"])
    curve = []
    for step in range(STEPS):
        for group in adam.param_groups:
            group["lr"] = rate(step)
        adam.zero_grad()
        loss = loss_of(model, batches[step % BATCHES])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["clip_norm"])
        adam.step()
        curve.append(loss.item())
    return curve


def fresh(kind):
    """Weights that depend on their names alone: the encoder is the same for every task."""
    sizes = SIZES | {"num_labels": 2} if kind is BertForQuestionAnswering else SIZES
    model = kind(BertConfig(**sizes, attn_implementation="eager"))
    with torch.no_grad():
        for name, value in model.named_parameters():
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            value.copy_(0.1 * torch.randn(value.shape, generator=generator) + name.endswith("LayerNorm.weight"))
    return model.eval()


def main():
    torch.set_num_threads(1)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    batches = make_batches()
    weights, curves = {}, {}
    for name, (kind, loss_of) in TASKS.items():
        for key, value in fresh(kind).named_parameters():
            weights[key] = value.detach().clone()
        curves[name] = follow(fresh(kind).double(), loss_of, batches)
        narrow = follow(fresh(kind), loss_of, batches)
        strays = max(abs(a - b) / b for a, b in zip(narrow, curves[name]))
        print(f"{name:9} {curves[name][0]:.4f} to {curves[name][-1]:.4f}; f32 strays by {strays:.1e}")
    save_file(weights, GOLDEN / "model.safetensors")
    (GOLDEN / "config.json").write_text(json.dumps(SIZES | {"model_type": "bert"}, indent=1) + "\n")
    settings = SETTINGS | {"steps": STEPS, "warmup": WARMUP, "scale": SCALE}
    run = {"settings": settings, "batches": batches, "losses": curves}
    (GOLDEN / "run.json").write_text(json.dumps(run, separators=(",", ":")) + "\n")


main()
