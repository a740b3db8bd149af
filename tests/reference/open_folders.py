"""Opens a classifier that `cloze train classify` wrote in transformers, classifies a file with it, and compares its
accuracy with the one that the run reported.

    pip install -r encoder_requirements.txt
    python open_folders.py FOLDER FILE.tsv TEXT_COLUMN TOKENS [PAIR_COLUMN]

`open_ours.py` compares the answers of every head number by number; this one takes a whole folder as users get it,
with its tokenizer and labels.
"""

import csv
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

BATCH = 64


def reported(folder):
    """The deciding score of the last evaluation in the log."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["scores"] for line in lines if "scores" in line][-1]


def main(folder, file, text, tokens, pair=None):
    folder = Path(folder)
    with open(file, newline="") as rows:
        rows = list(csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"], report
    right = 0
    for at in range(0, len(rows), BATCH):
        part = rows[at : at + BATCH]
        texts = [[row[text] for row in part]] + ([[row[pair] for row in part]] if pair else [])
        features = tokenizer(*texts, truncation=True, max_length=int(tokens), padding=True, return_tensors="pt")
        with torch.no_grad():
            chosen = model.eval()(**features).logits.argmax(-1).tolist()
        right += sum(model.config.id2label[at] == row["label"] for at, row in zip(chosen, part))
    print(f"transformers: accuracy {right / len(rows):.6f} on {len(rows)} texts; the run: {reported(folder)}")


main(*sys.argv[1:])
