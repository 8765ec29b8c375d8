"""Block outputs of a GGUF model in double precision -> fixtures/{smollm2,gemma3}-states.golden.safetensors

    python scripts/decoder_golden.py smollm2 SmolLM2-135M-Instruct.Q4_1.gguf
    python scripts/decoder_golden.py gemma3 gemma-3-270m-q4_k_m.gguf

Made with torch 2.13.0, transformers 5.23.0, gguf 0.19.0, accelerate 1.15.0, safetensors 0.8.0, numpy 2.4.6.

Every real token but the first of each text, in every layer: its state less the layer's mean, times PROJECTIONS sign vectors.
If e is the error of a state, the mean of (sign . e)^2 over sign vectors is |e|^2. A sign is a bit of a hash, so that a test can
compute the same vectors. Also: the layer means (over the tokens that are no
sinks: norm at most 3 x the median), whole tokens through all layers, and the log-odds of
antonyms after each text's last token. Prints how far transformers' own float32 is from this.
"""
import json
import os
import sys

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

import exact_decoder

PROJECTIONS = 6
# Texts and whole tokens kept of each model.
KEPT = {"smollm2": (100, 2), "gemma3": (30, 1)}
PAIRS = [("right", "wrong"), ("good", "bad"), ("acceptable", "unacceptable"), ("correct", "incorrect"), ("moral", "immoral"), ("ethical", "unethical")]
HERE = os.path.dirname(os.path.abspath(__file__))


def signs(width):
    """[PROJECTIONS, width] of +1 and -1: the top bit of murmur3's finaliser of the index."""
    h = np.arange(1, PROJECTIONS * width + 1, dtype=np.uint64) & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        h = ((h ^ (h >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    return np.where(h >> np.uint64(31), 1.0, -1.0).reshape(PROJECTIONS, width)


def main(name, path):
    sentences, whole_tokens = KEPT[name]
    folder, file = os.path.split(os.path.abspath(path))
    load = lambda dtype: transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=dtype, attn_implementation="eager").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    with open(os.path.join(HERE, "decoder_sentences.txt")) as lines:
        texts = [tokenizer(line.rstrip("\n")).input_ids for line in lines.readlines()[:sentences]]
    lengths = torch.tensor([len(t) for t in texts])
    ids = torch.zeros(len(texts), int(lengths.max()), dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)

    model = load(torch.float32)
    single, single_logits = exact_decoder.states(model, ids, lengths)
    exact, logits = exact_decoder.states(exact_decoder.exact(model), ids, lengths)
    exact, single = exact["resid_post"], single["resid_post"].astype(np.float64)

    position = np.arange(ids.shape[1])[None]
    kept = (position >= 1) & (position < lengths.numpy()[:, None])
    exact, single = exact[:, kept], single[:, kept]
    norms = np.linalg.norm(exact, axis=-1)
    usual = norms <= 3 * np.median(norms, axis=1, keepdims=True)
    mean = np.stack([layer[u].mean(0) for layer, u in zip(exact, usual)]).astype(np.float32)
    centred = exact - mean[:, None]
    error_of = np.linalg.norm(single - exact, axis=-1) / np.linalg.norm(centred, axis=-1)
    error = error_of[usual]
    print(f"{len(texts)} texts, {kept.sum()} tokens kept, {(~usual).sum()} of {usual.size} states are sinks; transformers float32: median {np.median(error):.2e}, worst {error.max():.2e}")

    for layer, (u, states, middle) in enumerate(zip(usual, exact, mean)):
        channels = np.abs(states[u]).max(0)
        centre = np.linalg.norm(states[u] - middle, axis=-1)
        print(f"layer {layer}: largest element {channels.max():.0f} in channel {channels.argmax()}, |mean| {np.linalg.norm(middle):.0f}, centred norm {np.median(centre):.1f}, float32 median {np.median(error_of[layer][u]):.1e}, worst {error_of[layer][u].max():.1e}, sinks {(~u).sum()}")

    pairs = [[tokenizer(f" {w}", add_special_tokens=False).input_ids for w in pair] for pair in PAIRS]
    pairs = np.array([[a[0], b[0]] for a, b in pairs if len(a) == len(b) == 1], dtype=np.int32)
    odds = lambda x: x[:, pairs[:, 0]] - x[:, pairs[:, 1]]
    print(f"{len(pairs)} antonyms; log-odds of transformers float32: worst {np.abs(odds(single_logits) - odds(logits)).max():.2e} nats")

    starts = np.concatenate([[0], np.cumsum(lengths.numpy() - 1)])
    order = np.argsort(lengths.numpy(), kind="stable")
    whole = np.array([starts[order[-1] + 1] - 1, starts[order[len(order) // 2] + 1] - 1][:whole_tokens][::-1])
    save_file(
        {
            "ids": np.concatenate(texts).astype(np.int32),
            "lengths": lengths.numpy().astype(np.int32),
            "mean": mean,
            "projections": np.ascontiguousarray((centred @ signs(centred.shape[-1]).T).astype(np.float32)),
            "whole_rows": whole.astype(np.int32),
            "whole": np.ascontiguousarray(exact[:, whole].astype(np.float32)),
            "pairs": pairs,
            "log_odds": np.ascontiguousarray(odds(logits).astype(np.float32)),
        },
        os.path.join(HERE, f"../fixtures/{name}-states.golden.safetensors"),
        metadata={"torch": torch.__version__, "transformers": transformers.__version__, "model": file, "float32_error": json.dumps({"median": float(np.median(error)), "worst": float(error.max())})},
    )


main(*sys.argv[1:])
