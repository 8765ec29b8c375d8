"""Greedy generation as a transformers user would do it: padded on the left, with a KV cache, in fp32.

usage: generate_peer.py model < request.json     prints one line of JSON. Loading the model is not timed.
model: a .gguf file or a directory. request: {prompts: ids of each, tokens, threads, repeats}
"""
import json
import os
import resource
import statistics
import sys
import time

import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


@torch.no_grad()
def generate(model, prompts, tokens):
    longest = max(len(ids) for ids in prompts)
    ids = torch.tensor([[0] * (longest - len(ids)) + ids for ids in prompts])
    mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts])
    found = model.generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=transformers.GenerationConfig(
            do_sample=False, max_new_tokens=tokens, pad_token_id=0
        ),
    )
    return found[:, longest:].tolist()


def main(path):
    request = json.load(sys.stdin)
    torch.set_num_threads(request["threads"])
    folder, file = os.path.split(os.path.abspath(path)) if path.endswith(".gguf") else (path, None)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    # Without an end, so that every text has as many tokens.
    model.generation_config.eos_token_id = None
    seconds = {"one": [], "all": []}
    for _ in range(request["repeats"] + 1):
        for kind, prompts in (("one", request["prompts"][:1]), ("all", request["prompts"])):
            start = time.perf_counter()
            found = generate(model, prompts, request["tokens"])
            seconds[kind].append(time.perf_counter() - start)
    print(
        json.dumps(
            {
                **{kind: statistics.median(times[1:]) for kind, times in seconds.items()},
                "found": found,
                "rssMiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            }
        )
    )


main(*sys.argv[1:])
