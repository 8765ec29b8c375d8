"""Pooled states and readout of SmolLM2-135M-Instruct (Q4_1 GGUF) in double precision -> fixtures/capture.golden.safetensors

    python scripts/capture_golden.py SmolLM2-135M-Instruct.Q4_1.gguf

Made with torch 2.13.0, transformers 5.23.0, gguf, accelerate, safetensors, numpy 2.4.6. The definitions of pooling, sinks and
readout are written out here once more, text by text and without padding; only sentences and words are read from src/activations.
"""
import json
import os
import re
import sys

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

import exact_decoder

TEXTS = [
    "helping a neighbour carry her shopping",
    "lying",
    "telling the truth to a friend who would rather not hear it",
    "not returning the money he had borrowed from his sister",
    "reading the newspaper on the train",
    "Stealing back the bicycle that was stolen from you last week, although the police asked everybody to wait",
    "breaking a promise",
    "feeding the neighbour's cat, again",
]
LAYERS = [12, 26]
SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../src/activations")


def source(name):
    with open(os.path.join(SOURCES, name)) as file:
        return file.read()


def main(path):
    folder, file = os.path.split(os.path.abspath(path))
    model = exact_decoder.exact(transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)

    def run(text):
        ids = torch.tensor([tokenizer(text).input_ids])
        states, logits = exact_decoder.states(model, ids, torch.tensor([ids.shape[1]]))
        return torch.from_numpy(states["resid_post"][:, 0]), torch.log_softmax(torch.from_numpy(logits[0]), -1)

    general = [run(text)[0].norm(dim=-1)[:, 1:] for text in re.findall(r"^  '(.*)',$", source("general-text.ts"), re.M)]
    assert len(general) == 64
    medians = np.median(torch.cat(general, 1).numpy(), axis=1)

    pairs = re.findall(r"^  \['(\w+)', '(\w+)'\],$", source("readout-words.ts"), re.M)
    ids = [[tokenizer(" " + word, add_special_tokens=False).input_ids for word in pair] for pair in pairs]
    kept = [(pair, (a[0], b[0])) for pair, (a, b) in zip(pairs, ids) if len(a) == len(b) == 1]

    pooled = {"last": [], "content": [], "mean": [], "norms": []}
    log_probs = []
    for text in TEXTS:
        states, after = run(f"{text} is morally")
        norms = states.norm(dim=-1)
        is_content = norms <= 3 * torch.tensor(medians)[:, None]
        is_content[:, 0] = False
        pooled["last"].append(states[LAYERS, -1])
        pooled["mean"].append(states[LAYERS].mean(1))
        pooled["content"].append(torch.stack([states[layer][is_content[layer]].mean(0) for layer in LAYERS]))
        others = torch.quantile(norms[LAYERS, 1:], 0.5, dim=1)
        pooled["norms"].append(torch.stack([norms[LAYERS, 0], others], -1))
        log_probs.append(after)
    log_probs = torch.stack(log_probs)
    likeliest = log_probs.exp().mean(0).topk(300).indices

    tensors = {name: torch.stack(values, 1).float().numpy() for name, values in pooled.items()}  # [layers, texts, ...]
    tensors |= {
        "medians": medians.astype(np.float64),
        "layers": np.array(LAYERS),
        "pair_ids": np.array([ids for _, ids in kept]),
        "pair_log_probs": log_probs[:, [ids for _, ids in kept]].float().numpy(),
        "likeliest": likeliest.numpy(),
    }
    out = os.path.join(SOURCES, "../../fixtures/capture.golden.safetensors")
    save_file(tensors, out, {"texts": json.dumps(TEXTS), "words": json.dumps([pair for pair, _ in kept])})
    print(len(kept), "pairs;", os.path.getsize(out), "bytes")


main(sys.argv[1])
