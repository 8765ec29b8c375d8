"""Hidden states of every layer as a transformers user would take them: batches of 32 in file order, padded, pooled, saved.

usage: capture_peer.py model out_prefix < request.json     prints one line of JSON. Loading the model is not timed.
model: a .gguf file or a directory. request: {texts, threads, dtypes, batch: {ids, lengths}, repeats}
No head and no logits: AutoModel, the lighter of the two ways to ask for hidden states.
"""
import json
import os
import resource
import statistics
import sys
import time

import numpy as np
import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


@torch.no_grad()
def capture(model, tokenizer, texts, out):
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    start = time.perf_counter()
    last, mean, tokens, slots = [], [], 0, 0
    for i in range(0, len(texts), 32):
        batch = tokenizer(texts[i : i + 32], return_tensors="pt", padding=True, truncation=True, max_length=128)
        states = model(**batch, output_hidden_states=True, use_cache=False).hidden_states[1:]
        mask = batch.attention_mask
        lengths = mask.sum(1)
        rows = torch.arange(len(lengths))
        stacked = torch.stack(states, 1).float()
        last.append(stacked[rows, :, lengths - 1].numpy())
        mean.append(((stacked * mask[:, None, :, None]).sum(2) / lengths[:, None, None]).numpy())
        tokens += int(lengths.sum())
        slots += mask.numel()
    np.save(f"{out}-last.npy", np.concatenate(last))
    np.save(f"{out}-mean.npy", np.concatenate(mean))
    return {"seconds": time.perf_counter() - start, "tokens": tokens, "slots": slots}


@torch.no_grad()
def one_batch(model, batch, repeats):
    lengths = torch.tensor(batch["lengths"])
    ids = torch.tensor(batch["ids"]).reshape(len(lengths), -1)
    mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def gemm(n=1536, repeats=6):
    a, b = torch.randn(n, n), torch.randn(n, n)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2 * n**3 / min(times) / 1e9


def main(path, out):
    request = json.load(sys.stdin)
    torch.set_num_threads(request["threads"])
    folder, file = os.path.split(os.path.abspath(path)) if path.endswith(".gguf") else (path, None)
    model = transformers.AutoModel.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    result = {"torch": torch.__version__, "transformers": transformers.__version__, "gemm": gemm()}
    for dtype in request["dtypes"]:
        model = model.to(getattr(torch, dtype))
        capture(model, tokenizer, request["texts"][:32], out)
        result[dtype] = capture(model, tokenizer, request["texts"], out) | {"batchSeconds": one_batch(model, request["batch"], request["repeats"])}
    result["rssMiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(result))


main(*sys.argv[1:])
