"""Checks in Python what `moralscope export` wrote: the tokenizer.json against the golden ids, the control vector with gguf, the steered
file in lm-evaluation-harness's own model, and the hook of README.md in transformers against logits that check_export.js --save wrote.

torch 2.13.0, transformers 5.23.0, tokenizers 0.23.3, gguf 0.19.0, safetensors 0.8.0, lm_eval 0.4.13.
Usage: python scripts/check_export.py [--tokenizer DIR=NAME ...] [--gguf FILE --remedy DIR --strength S]
  [--hook DIR --weights FILE.gguf --ours FILE] [--steered FILE --remedy DIR --weights FILE.gguf --ours FILE]
NAME is a tokenizer of fixtures/tokenizer-ids.golden.json.gz.
"""

import argparse
import gzip
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from tokenizer_strings import strings

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
parser = argparse.ArgumentParser()
parser.add_argument("--tokenizer", action="append", default=[])
for flag in ("gguf", "remedy", "hook", "steered", "weights", "ours"):
    parser.add_argument(f"--{flag}", type=Path)
parser.add_argument("--strength", type=float, default=1.0)
args = parser.parse_args()


def check(what: str, value, good: bool) -> None:
    print("ok  " if good else "FAIL", f"{what}: {value}")
    if not good:
        raise SystemExit(1)


def check_tokenizer(directory: str, name: str) -> None:
    from transformers import AutoTokenizer

    golden = json.loads(gzip.decompress((FIXTURES / "tokenizer-ids.golden.json.gz").read_bytes()))["tokenizers"][name]
    tokenizer = AutoTokenizer.from_pretrained(directory)
    rows = [tokenizer.encode(text) for text in strings()]
    flat = np.array([number for row in rows for number in (len(row), *row)], dtype="<i4")
    same = hashlib.sha256(flat.tobytes()).hexdigest() == golden["ids"]
    check(f"{directory}: ids of {len(rows)} strings are those of {name}", same, same)


def check_control_vector(path: Path, remedy: Path, strength: float) -> None:
    import gguf

    reader = gguf.GGUFReader(path)
    said = {key: field.contents() for key, field in reader.fields.items() if key.startswith(("general.", "controlvector."))}
    tensors = load_file(remedy / "remedy.safetensors")
    for tensor in reader.tensors:
        layer = re.fullmatch(r"direction\.(\d+)", tensor.name)[1]
        expected = np.float32(strength) * tensors[f"remedy/blocks.{layer}.hook_resid_post/direction"]
        error = np.abs(tensor.data - expected).max()
        check(f"{tensor.name} {list(tensor.shape)} is the remedy's times {strength}, largest difference", error, error < 1e-6)
    print("    ", said)


def error_of(model, ours: Path) -> float:
    saved = load_file(ours)
    worst = 0.0
    for text in range(len(saved) // 2):
        with torch.no_grad():
            logits = model(torch.from_numpy(saved[f"{text}.ids"])[None]).logits[0].numpy()
        worst = max(worst, np.abs(logits - saved[f"{text}.logits"]).max())
    return worst


def model_of(weights: Path):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(weights.parent, gguf_file=weights.name, dtype=torch.float32).eval()


def check_hook(directory: Path, weights: Path, ours: Path) -> None:
    source = re.search(r"```python\n(.*?)```", (directory / "README.md").read_text(), re.S)[1]
    code: dict = {}
    exec(source, code)
    model = model_of(weights)
    plain = error_of(model, ours)
    hooks = code["steer"](model, directory / "steering.safetensors", args.strength)
    error = error_of(model, ours)
    check(f"hook of {len(source.splitlines())} lines: logits, largest difference {error:.1e}, without it {plain:.1e}", error < 1e-3, error < 1e-3 < plain)
    for hook in hooks:
        hook.remove()
    check("removed, the model is as it was", error_of(model, ours) == plain, error_of(model, ours) == plain)


def check_steered(path: Path, weights: Path, ours: Path) -> None:
    from lm_eval.models.hf_steered import SteeredModel

    said = torch.load(path, weights_only=True)
    tensors = load_file(args.remedy / "remedy.safetensors")
    for module, how in said.items():
        direction = tensors[f"remedy/blocks.{module.split('.')[1]}.hook_resid_post/direction"]
        same = np.array_equal(how["steering_vector"].numpy(), direction) and how["steering_coefficient"] == args.strength
        rest = {key: how[key] for key in ("action", "bias", "head_index")}
        check(f"{module} of {path.name}, loaded without any code, is the remedy's, {rest}", same, same)
    model = SteeredModel(pretrained=str(weights.parent), gguf_file=weights.name, steer_path=str(path), dtype="float32", device="cpu")
    saved = load_file(ours)
    plain, steered = 0.0, 0.0
    for text in range(len(saved) // 2):
        ids, expected = torch.from_numpy(saved[f"{text}.ids"])[None], saved[f"{text}.logits"]
        # Our text's first token is left alone, theirs is not; what follows it attends to it.
        plain = max(plain, np.abs(model.model(ids).logits[0].detach().numpy() - expected).max())
        steered = max(steered, np.abs(model.forward(ids).logits[0].numpy() - expected).max())
    print(f"     lm_eval's steered model: largest difference from our logits {steered:.2e}, without steering {plain:.2e}")


for pair in args.tokenizer:
    check_tokenizer(*pair.rsplit("=", 1))
if args.gguf:
    check_control_vector(args.gguf, args.remedy, args.strength)
if args.hook:
    check_hook(args.hook, args.weights, args.ours)
if args.steered:
    check_steered(args.steered, args.weights, args.ours)
