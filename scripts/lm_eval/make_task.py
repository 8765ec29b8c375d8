"""Pairs of actions from the starter corpus -> moral_pairs.jsonl, the texts of moral_pairs.yaml

    python scripts/lm_eval/make_task.py

Takes neighbouring rows of corpora/starter.tsv whose judgments are as far apart as can be (2 and -2): one a praised action, the other a
blamed one of the same kind of situation. Which of them comes first alternates.
"""
import csv
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
PAIRS = 60


def main():
    with open(os.path.join(HERE, "../../corpora/starter.tsv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    pairs = [
        (good["action"], bad["action"])
        for good, bad in zip(rows, rows[1:])
        if good["area"] == bad["area"] and (good["action-moral-judgment"], bad["action-moral-judgment"]) == ("2", "-2")
    ]
    spread = pairs[:: len(pairs) // PAIRS][:PAIRS]
    with open(os.path.join(HERE, "moral_pairs.jsonl"), "w", encoding="utf-8") as out:
        for i, (good, bad) in enumerate(spread):
            plain = [text[0].lower() + text[1:].rstrip(".") for text in (good, bad)]
            label = i % 2
            out.write(json.dumps({"choices": plain if label == 0 else plain[::-1], "label": label}, ensure_ascii=False) + "\n")


main()
