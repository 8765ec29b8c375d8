"""The corpus build as a pandas user would write it: read, filter, moral vectors, one row per tagged foundation, texts, split, write.

usage: corpus_peer.py table.tsv out_prefix     prints one line of JSON. The import of pandas is not timed.
"""
import hashlib
import json
import sys
import time

import pandas as pd

FOUNDATIONS = ["care-harm", "fairness-cheating", "loyalty-betrayal", "authority-subversion", "sanctity-degradation"]
POLES = ["care", "harm", "fairness", "cheating", "loyalty", "betrayal", "authority", "subversion", "sanctity", "degradation"]


def split_of(text: str) -> str:
    n = int.from_bytes(hashlib.md5(text.encode()).digest()[:8], "big") % 10
    return "train" if n < 8 else "validation" if n == 8 else "test"


def main(source: str, out: str) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    table = pd.read_csv(source, sep="\t")
    needed = ["action", "rot-moral-foundations", "action-moral-judgment", "action-agree"]
    kept = table[(table["rot-bad"] == 0) & (table["m"] == 1)].dropna(subset=needed).reset_index(drop=True)
    labels = pd.DataFrame({"annotation": kept.index, "foundation": kept["rot-moral-foundations"].str.split("|")})
    signed = kept["action-moral-judgment"] / 2 * kept["action-agree"] / 4
    labels["signed"] = signed.astype("float32")
    for f, foundation in enumerate(FOUNDATIONS):
        tagged = kept["rot-moral-foundations"].str.contains(foundation, regex=False)
        labels[f"m_{POLES[2 * f]}"] = (signed.clip(lower=0) * tagged).astype("float32")
        labels[f"m_{POLES[2 * f + 1]}"] = ((-signed).clip(lower=0) * tagged).astype("float32")
    action = kept["action"].str.strip().str.replace(r"\.$", "", regex=True).str.strip()
    normalised = action.str.lower().str.replace(r"\s+", " ", regex=True)
    labels["text"] = pd.factorize(normalised)[0]
    texts = pd.DataFrame({"text": labels["text"], "action": action, "normalised": normalised}).drop_duplicates("text")
    texts["split"] = texts["normalised"].map(split_of)
    labels["split"] = labels["text"].map(texts.set_index("text")["split"])
    rows = labels.explode("foundation", ignore_index=True)
    rows["row"] = rows.index
    tables = {"annotations": kept, "texts": texts, "rows": rows}
    try:
        import pyarrow  # noqa: F401

        writes = "parquet"
        for name, frame in tables.items():
            frame.to_parquet(f"{out}.{name}.parquet")
    except ImportError:
        writes = "pickle"
        for name, frame in tables.items():
            frame.to_pickle(f"{out}.{name}.pickle")
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu": cpu,
                "annotations": len(kept),
                "rows": len(rows),
                "texts": len(texts),
                "pandas": pd.__version__,
                "writes": writes,
            }
        )
    )


main(*sys.argv[1:])
