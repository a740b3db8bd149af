"""Writes the golden vectors of `infer`, computed by sentence-transformers with all-MiniLM-L6-v2.

    pip install -r tests/reference/infer_requirements.txt
    CLOZE_MINILM_DIR=... python tests/reference/infer_golden.py

The texts are of very different lengths, so that they also test padding; one is longer than the model reads.
"""

import json
import os
import pathlib

import torch
from sentence_transformers import SentenceTransformer

OUT = pathlib.Path(__file__).parents[2] / "crates/infer/tests/golden/minilm.json"

TEXTS = [
    "",
    "a",
    "In what country is Normandy located?",
    "  Größe, façade, Ångström \u2014 and \u6771\u4eac, \U0001f980!\u0000\u200b end\t",
    "The walls of Rome were long and old, and nobody remembered who had built them. " * 3,
    " ".join(f"word{i} number {i * 7919}" for i in range(300)),
    "x" * 500,
]


def main():
    torch.set_num_threads(1)
    model = SentenceTransformer(os.environ["CLOZE_MINILM_DIR"], device="cpu")
    # One at a time: the reference must not depend on padding either.
    vectors = [model.encode([text])[0].tolist() for text in TEXTS]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    cases = [{"text": text, "vector": [round(x, 8) for x in vector]} for text, vector in zip(TEXTS, vectors)]
    OUT.write_text(json.dumps(cases, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
