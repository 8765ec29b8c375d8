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
    start = time.perf_counter()
    table = pd.read_csv(source, sep="\t")
    needed = ["action", "rot-moral-foundations", "action-moral-judgment", "action-agree"]
    kept = table[(table["rot-bad"] == 0) & (table["m"] == 1)].dropna(subset=needed).reset_index(drop=True)
    kept["annotation"] = kept.index
    signed = kept["action-moral-judgment"] / 2 * kept["action-agree"] / 4
    kept["signed"] = signed.astype("float32")
    for f, foundation in enumerate(FOUNDATIONS):
        tagged = kept["rot-moral-foundations"].str.contains(foundation, regex=False)
        kept[f"m_{POLES[2 * f]}"] = (signed.clip(lower=0) * tagged).astype("float32")
        kept[f"m_{POLES[2 * f + 1]}"] = ((-signed).clip(lower=0) * tagged).astype("float32")
    action = kept["action"].str.strip().str.replace(r"\.$", "", regex=True).str.strip()
    normalised = action.str.lower().str.replace(r"\s+", " ", regex=True)
    kept["text"] = pd.factorize(normalised)[0]
    texts = pd.DataFrame({"text": kept["text"], "action": action, "normalised": normalised}).drop_duplicates("text")
    texts["split"] = texts["normalised"].map(split_of)
    kept["split"] = kept["text"].map(texts.set_index("text")["split"])
    kept["foundation"] = kept["rot-moral-foundations"].str.split("|")
    rows = kept.explode("foundation", ignore_index=True)
    rows["row"] = rows.index
    try:
        import pyarrow  # noqa: F401

        writes = "parquet"
        rows.to_parquet(f"{out}.rows.parquet")
        texts.to_parquet(f"{out}.texts.parquet")
    except ImportError:
        writes = "pickle"
        rows.to_pickle(f"{out}.rows.pickle")
        texts.to_pickle(f"{out}.texts.pickle")
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            dict(seconds=seconds, annotations=len(kept), rows=len(rows), texts=len(texts), pandas=pd.__version__, writes=writes)
        )
    )


main(*sys.argv[1:])
