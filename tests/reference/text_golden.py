"""Writes the golden encodings of `text`: hostile texts through transformers, with byte spans.

    pip install -r tests/reference/text_requirements.txt
    python tests/reference/text_golden.py

Writes `crates/text/tests/golden/tiny/vocab.txt` (a small vocabulary made here) and `tiny.json`. With
CLOZE_MINILM_DIR set to a folder of all-MiniLM-L6-v2 it also writes `minilm.json`, whose test needs that folder.
A text in the golden files is a string, or {"repeat": string, "times": n}.
"""

import json
import os
import pathlib
import string
import tempfile

from transformers import AutoTokenizer

OUT = pathlib.Path(__file__).parents[2] / "crates/text/tests/golden"

TEXTS = [
    "",
    " \t\r\n ",
    "The quick brown fox jumps over the lazy dog.",
    "Größe, façade, Ångström, naïve, Škoda, İstanbul, ﬁn, Ǆ, ẞ",
    "e\u0301 and \u00e9, a\u0308\u0323 and \u1ea1\u0308",
    "東京は日本の首都です。北京 中文混合English文字",
    "한국어 텍스트 ไทย العربية עברית हिन्दी",
    "🦀 crab 👩‍👩‍👧‍👦 family 🇩🇪 flag 👍🏽 thumb",
    "null\u0000byte bell\u0007 zero\u200bwidth soft\u00adhyphen bom\ufeff replaced\ufffd",
    "\u0000\u0001\u0002\u200b",
    "nbsp\u00a0em\u2003line\u2028para\u2029ideographic\u3000end",
    "[CLS] [SEP] [MASK] [PAD] [UNK] [mask]",
    "don't, can't; e.g. 3.14 $5.00 a+b=c #tag @name http://x.y/z?q=1&r=2",
    "UPPER lower MiXeD ÀÉÎÕÜ ΣΑΣ ß",
    "“quotes” ‘single’ — dash … ellipsis ¿qué? ¡sí!",
    "\U0010ffff\ue000 private \U00020000 rare 㐀",
    {"repeat": "x", "times": 100_000},
    {"repeat": "東", "times": 300},
    {"repeat": "á", "times": 100},
    {"repeat": "á", "times": 101},
    {"repeat": "word ", "times": 700},
    {"repeat": "\u0301", "times": 200},
]
PAIRS = [(2, 12), (20, 2), (2, 20), (0, 2), (20, 20), (5, 7)]
LIMITS = [8, 64, 512]


def expand(text):
    return text["repeat"] * text["times"] if isinstance(text, dict) else text


def case(tokenizer, sources, texts, limit):
    encoded = tokenizer(*texts, truncation="longest_first", max_length=limit, return_offsets_mapping=True)
    rows = encoded.encodings[0]
    spans = []
    for (begin, end), owner in zip(encoded["offset_mapping"], rows.sequence_ids):
        text = texts[owner or 0]
        # Offsets count characters there and bytes here.
        spans.append([len(text[:begin].encode()), len(text[:end].encode())])
    return {
        "texts": sources,
        "limit": limit,
        "ids": encoded["input_ids"],
        "types": list(rows.type_ids),
        "special": list(rows.special_tokens_mask),
        "spans": spans,
    }


def golden(tokenizer):
    cases = []
    for number, text in enumerate(TEXTS):
        for limit in LIMITS:
            cases.append(case(tokenizer, [number], [expand(text)], limit))
    for pair in PAIRS:
        for limit in LIMITS:
            cases.append(case(tokenizer, list(pair), [expand(TEXTS[at]) for at in pair], limit))
    return {"texts": TEXTS, "cases": cases}


def tiny_vocabulary():
    words = "the quick brown fox over lazy dog word and english text a b c ##s ##ing ##er ##ump crab flag".split()
    characters = string.ascii_lowercase + string.digits + "ßσαü東京日本"
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.punctuation, "—", "…", "🦀"]
    entries += [*characters, *("##" + c for c in characters), *words]
    return list(dict.fromkeys(entries))


def write(name, tokenizer):
    text = json.dumps(golden(tokenizer), ensure_ascii=True, separators=(",", ":"))
    (OUT / name).write_text(text + "\n")


def main():
    (OUT / "tiny").mkdir(parents=True, exist_ok=True)
    vocabulary = "".join(token + "\n" for token in tiny_vocabulary())
    (OUT / "tiny/vocab.txt").write_text(vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "vocab.txt").write_text(vocabulary)
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
        (folder / "config.json").write_text('{"model_type": "bert"}')
        write("tiny.json", AutoTokenizer.from_pretrained(folder))
    if os.environ.get("CLOZE_MINILM_DIR"):
        write("minilm.json", AutoTokenizer.from_pretrained(os.environ["CLOZE_MINILM_DIR"]))


if __name__ == "__main__":
    main()
