"""Compares the log-likelihoods of two runs of lm-evaluation-harness, sample by sample

    python scripts/lm_eval/compare.py SAMPLES_A.jsonl SAMPLES_B.jsonl [TOLERANCE]

Exits with 1 when a pair differs by more than the tolerance (nats, default 0.01), or a verdict of "greedy" by any.
"""
import json
import sys


def read(path):
    with open(path, encoding="utf-8") as file:
        samples = [json.loads(line) for line in file]
    return {sample["doc_id"]: [(float(value), str(greedy)) for [value, greedy] in (response[0] for response in sample["resps"])] for sample in samples}


def main():
    a, b = read(sys.argv[1]), read(sys.argv[2])
    tolerance = float(sys.argv[3]) if len(sys.argv) > 3 else 0.01
    if a.keys() != b.keys():
        sys.exit("the runs have other samples")
    pairs = [(x, y) for key in a for x, y in zip(a[key], b[key], strict=True)]
    worst = max(abs(x - y) for (x, _), (y, _) in pairs)
    greedy = sum(g != h for (_, g), (_, h) in pairs)
    print(f"{len(pairs)} log-likelihoods; they differ by at most {worst:.2g} nats, {greedy} in being greedy")
    sys.exit(worst > tolerance or greedy > 0)


main()
