"""Writes the golden values of `measure`, computed by the reference tools.

    pip install -r tests/reference/measure_requirements.txt
    python tests/reference/measure_golden.py

Rankings: pytrec_eval (trec_eval's own code). Classes: scikit-learn. Correlations: scipy. Entities: seqeval.
Answers: the definitions of the two SQuAD evaluations, written down here a second time and independently of
the Rust ones; the cases are few and hostile.
"""

import collections
import json
import pathlib
import random
import re
import string
import struct
import warnings

import numpy
import pytrec_eval
import scipy.stats
import sklearn.metrics
from seqeval.metrics import f1_score, precision_score, recall_score

OUT = pathlib.Path(__file__).parents[2] / "crates/measure/tests/golden/measure.json"
warnings.filterwarnings("ignore")


def as_f32(score):
    return struct.unpack("f", struct.pack("f", score))[0]


# --- rankings -----------------------------------------------------------------------------------------------

MEASURES = {
    "ndcg": "ndcg",
    "ndcg@1": "ndcg_cut_1",
    "ndcg@5": "ndcg_cut_5",
    "ndcg@10": "ndcg_cut_10",
    "ndcg@100": "ndcg_cut_100",
    "map": "map",
    "map@10": "map_cut_10",
    "map@100": "map_cut_100",
    "mrr": "recip_rank",
    "recall@5": "recall_5",
    "recall@100": "recall_100",
    "precision@1": "P_1",
    "precision@5": "P_5",
    "precision@10": "P_10",
    "success@1": "success_1",
    "success@5": "success_5",
    "success@10": "success_10",
}
FAMILIES = {"ndcg", "ndcg_cut.1,5,10,100", "map", "map_cut.10,100", "recip_rank", "recall.5,100", "P.1,5,10",
            "success.1,5,10"}


def random_score(rng, style):
    if style == "ties":
        return rng.choice([0.0, -0.0, 0.5, 1.0, 2.0])
    if style == "same":
        return 1.0
    if style == "beyond 32 bits":
        return 1.0 + rng.randrange(50) * 1e-9
    if style == "negative":
        return round(rng.uniform(-9, -1), 2)
    return round(rng.uniform(0, 30), 4)


def random_query(rng, number):
    style = rng.choice(["plain", "ties", "same", "beyond 32 bits", "negative"])
    pool = [f"d{i}" for i in range(1, 200)] + ["Doc", "doc", "é", "z", "ü1", "10", "9"]
    judged = rng.sample(pool, rng.choice([1, 2, 5, 30, 120]))
    grades = rng.choice([[1], [0, 1], [0, 1, 2, 3], [-2, -1, 0, 1, 5], [0, 0, 0, 4], [-1, 0]])
    retrieved = rng.sample(pool, rng.choice([1, 3, 12, 60, 150]))
    qrels = {d: rng.choice(grades) for d in judged}
    if max(qrels.values()) < 0:
        qrels[judged[0]] = 0  # trec_eval ends with a segmentation fault when all grades are negative
    return qrels, {d: random_score(rng, style) for d in retrieved}


def truncated(scores, k):
    """The first k in trec_eval's order: 32-bit score, then document id, both descending."""
    order = sorted(scores, key=lambda d: (as_f32(scores[d]), d.encode()), reverse=True)
    return {d: scores[d] for d in order[:k]}


def rankings(rng):
    qrels, run = {}, {}
    for number in range(60):
        qrels[f"q{number}"], run[f"q{number}"] = random_query(rng, number)
    del run["q7"], qrels["q9"]
    results = pytrec_eval.RelevanceEvaluator(qrels, FAMILIES).evaluate(run)
    top = {query: truncated(scores, 10) for query, scores in run.items()}
    mrr = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(top)
    gained = {q: {d: 2 ** g - 1 if g > 0 else 0 for d, g in js.items()} for q, js in qrels.items()}
    exponential = pytrec_eval.RelevanceEvaluator(gained, {"ndcg", "ndcg_cut.10"}).evaluate(run)
    expected = {}
    for query, values in results.items():
        expected[query] = {ours: values[theirs] for ours, theirs in MEASURES.items()}
        expected[query]["mrr@10"] = mrr[query]["recip_rank"]
        expected[query]["ndcg_exp"] = exponential[query]["ndcg"]
        expected[query]["ndcg_exp@10"] = exponential[query]["ndcg_cut_10"]
    return {"qrels": qrels, "run": run, "expected": expected}


# --- answers ------------------------------------------------------------------------------------------------

ARTICLES = re.compile(r"\b(a|an|the)\b")


def words(answer):
    answer = "".join(c for c in answer.lower() if c not in string.punctuation)
    return ARTICLES.sub(" ", answer).split()


def overlap_f1(prediction, gold):
    common = sum((collections.Counter(prediction) & collections.Counter(gold)).values())
    return 2 * common / (len(prediction) + len(gold)) if common else 0.0


def squad_v1(prediction, golds):
    pairs = [(words(prediction), words(gold)) for gold in golds]
    return max(float(p == g) for p, g in pairs), max(overlap_f1(p, g) for p, g in pairs)


def squad_v2(prediction, golds):
    golds = [gold for gold in golds if words(gold)] or [""]
    pairs = [(words(prediction), words(gold)) for gold in golds]
    f1 = [overlap_f1(p, g) if p and g else float(p == g) for p, g in pairs]
    return max(float(p == g) for p, g in pairs), max(f1)


FRAGMENTS = ["the", "The", "A", "an", "apple", "Apple", "1,000", "$5", "U.S.", "n't", "the_end", "an-apple", "“the”",
             "—", "naïve", "Ärger", "İstanbul", "東京", "١٢", "a\u0301", "th\u00e9", "\u00a0", "\t", "\u2003", "\x1c",
             "...", "'s", "x" * 30, "Straße", "ΟΔΟΣ", "½", "Ⅳ", "the\u200b", "é", "e\u0301", "", " "]


def random_answer(rng):
    return rng.choice(["", " ", "-"]).join(rng.choice(FRAGMENTS) for _ in range(rng.randrange(5)))


def near(rng, answer):
    pieces = answer.split(" ")
    rng.shuffle(pieces)
    return " ".join(pieces[: rng.randrange(1, len(pieces) + 1)])


def best_threshold(questions, column):
    current = best = sum(1 for q in questions if not q["gold"])
    threshold = 0.0
    for q in sorted(questions, key=lambda q: q["no_answer"]):
        if q["gold"]:
            current += q["v2"][column]
        elif q["prediction"]:
            current -= 1
        if current > best:
            best, threshold = current, q["no_answer"]
    return [best / len(questions), threshold]


def answers(rng):
    questions = []
    for _ in range(250):
        gold = [random_answer(rng) for _ in range(rng.choice([0, 1, 1, 3]))]
        guess = rng.random()
        prediction = random_answer(rng) if guess < 0.3 or not gold else near(rng, rng.choice(gold))
        prediction = "" if guess > 0.9 else prediction
        question = {"gold": gold, "prediction": prediction, "no_answer": rng.randrange(12) / 11}
        question["v1"] = squad_v1(prediction, gold) if gold else None
        question["v2"] = squad_v2(prediction, gold)
        questions.append(question)
    def decided(q, column):
        return float(not q["gold"]) if q["no_answer"] > 0.5 else q["v2"][column]
    def mean(column, keep):
        kept = [decided(q, column) for q in questions if keep(q)]
        return sum(kept) / len(kept)
    return {
        "questions": questions,
        "v2_at_half": {
            "all": [mean(0, lambda q: True), mean(1, lambda q: True)],
            "answerable": [mean(0, lambda q: q["gold"]), mean(1, lambda q: q["gold"])],
            "unanswerable": [mean(0, lambda q: not q["gold"]), mean(1, lambda q: not q["gold"])],
        },
        "best_exact": best_threshold(questions, 0),
        "best_f1": best_threshold(questions, 1),
    }


# --- entities, classes, correlations ------------------------------------------------------------------------

def entities(rng):
    tags = ["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC", "I-MISC-X"]
    cases = []
    for _ in range(12):
        gold = [[rng.choice(tags) for _ in range(rng.randrange(1, 15))] for _ in range(rng.randrange(1, 8))]
        predicted = [[t if rng.random() < 0.8 else rng.choice(tags) for t in row] for row in gold]
        scores = [f(gold, predicted, zero_division=0) for f in (precision_score, recall_score, f1_score)]
        cases.append({"gold": gold, "predicted": predicted, "micro": [float(s) for s in scores]})
    return cases


def classes(rng):
    cases = []
    for kinds in [1, 2, 2, 2, 3, 6, 20]:
        gold = [rng.randrange(kinds) for _ in range(80)]
        predicted = [g if rng.random() < 0.6 else rng.randrange(kinds) for g in gold]
        labels = sorted(set(gold) | set(predicted))
        precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(
            gold, predicted, labels=labels, zero_division=0)
        cases.append({
            "gold": gold,
            "predicted": predicted,
            "accuracy": float(sklearn.metrics.accuracy_score(gold, predicted)),
            "f1_macro": float(sklearn.metrics.f1_score(gold, predicted, average="macro", zero_division=0)),
            "matthews": float(sklearn.metrics.matthews_corrcoef(gold, predicted)),
            "classes": [[int(l), float(p), float(r), float(f), int(s)]
                        for l, p, r, f, s in zip(labels, precision, recall, f1, support)],
        })
    return cases


def correlations(rng):
    cases = []
    for count, levels in [(2, 1000), (10, 4), (50, 6), (60, 1000), (40, 3)]:
        left = [rng.randrange(levels) / 7 for _ in range(count)]
        right = [x + rng.randrange(levels) / 5 - 1 for x in left]
        if len(set(left)) < 2 or len(set(right)) < 2:
            raise SystemExit("choose another seed: a constant list has no correlation")
        cases.append({
            "left": left,
            "right": right,
            "pearson": float(scipy.stats.pearsonr(left, right)[0]),
            "spearman": float(scipy.stats.spearmanr(left, right)[0]),
        })
    return cases


def latencies(rng):
    cases = []
    for count in [1, 2, 10, 99, 100, 101]:
        values = [rng.randrange(1, 5000) / 10 for _ in range(count)]
        percents = [1, 5, 25, 50, 75, 90, 95, 99, 100]
        expected = numpy.percentile(values, percents, method="inverted_cdf").tolist()
        cases.append({"values": values, "percents": percents, "expected": expected})
    return cases


if __name__ == "__main__":
    rng = random.Random(20)
    golden = {
        "rankings": rankings(rng),
        "answers": answers(rng),
        "entities": entities(rng),
        "classes": classes(rng),
        "correlations": correlations(rng),
        "latencies": latencies(rng),
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{OUT}: {OUT.stat().st_size} bytes")
