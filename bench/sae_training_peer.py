"""A TopK autoencoder trained by SAELens on the token states of an activation directory, all of them in memory.

usage: sae_training_peer.py < request.json     prints one line of JSON. Reading the states is not timed.
request: {activations, layer, threshold, width, k, states, batch, threads, rate, out}: first tokens and states longer than the threshold are left out
"""
import glob
import json
import os
import sys
import time

import torch
from safetensors import safe_open
from sae_lens import __version__
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer


def read_states(request):
    parts = []
    for path in sorted(glob.glob(os.path.join(request["activations"], "shard-*.safetensors"))):
        with safe_open(path, "pt") as file:
            states = file.get_tensor(f"blocks.{request['layer']}.hook_resid_post/tokens")
            offsets = file.get_tensor("offsets")
        kept = states.norm(dim=1) <= request["threshold"]
        kept[offsets[:-1][offsets[:-1] < len(states)]] = False
        parts.append(states[kept])
    return torch.cat(parts)


def batches(states, size):
    while True:
        order = torch.randperm(len(states))
        for i in range(0, len(order) - size + 1, size):
            yield states[order[i : i + size]]


def main():
    request = json.load(sys.stdin)
    torch.manual_seed(0)
    torch.set_num_threads(request["threads"])
    states = read_states(request)
    steps = request["states"] // request["batch"]
    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=states.shape[1], d_sae=request["width"], k=request["k"], device="cpu", dtype="float32"))
    # The published recipe: a short warm-up, a linear decay over the last fifth.
    rate = request["rate"]
    config = SAETrainerConfig(
        total_training_samples=request["states"],
        train_batch_size_samples=request["batch"],
        lr=rate,
        lr_end=rate / 10,
        lr_warm_up_steps=min(1000, steps // 20),
        lr_decay_steps=steps // 5,
        dead_feature_window=max(1, steps // 10),
        device="cpu",
        logger=LoggingConfig(log_to_wandb=False),
    )
    start = time.perf_counter()
    with torch.no_grad():
        sae.b_dec.copy_(states[torch.randperm(len(states))[:16384]].mean(0))
    trained = SAETrainer(config, sae, batches(states, request["batch"])).fit()
    seconds = time.perf_counter() - start
    trained.cfg.metadata.hook_name = f"blocks.{request['layer']}.hook_resid_post"
    trained.save_inference_model(request["out"])
    print(json.dumps({"seconds": seconds, "version": __version__, "torch": torch.__version__}))


main()
