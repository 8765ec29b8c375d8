"""Greedy continuations, and what tokens are drawn from -> fixtures/generation.golden.json

    python scripts/generation_golden.py smollm2 SmolLM2-135M-Instruct.Q4_1.gguf
    python scripts/generation_golden.py gemma3 gemma-3-270m-q4_k_m.gguf
    python scripts/generation_golden.py sampling

Made with torch 2.13.0, transformers 5.23.0, gguf 0.19.0, accelerate 1.15.0, tokenizers 0.22.2.

A model: 20 prompts, each by itself, up to 64 tokens by `generate` in fp32, with the margin of the likeliest token's
logit over the next one at each step; plain, and as the chat template writes it where there is one. Sampling: the logits of a small
vocabulary, the tokens before, and the probabilities that transformers' processors and warpers make of them, in their order.
"""
import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

FIXTURE = Path(__file__).parent.parent / "fixtures" / "generation.golden.json"
TOKENS = 64
PROMPTS = [
    "The capital of France is",
    "Is it wrong to lie to a friend?",
    "Helping a stranger who has lost her way is",
    "Once upon a time, in a village by the sea,",
    "def fibonacci(n):",
    "Write a short poem about the moon.",
    "The quick brown fox",
    "Why do leaves turn red in autumn?",
    "Dear Sir or Madam,",
    "Water boils when",
    "Give me three reasons to keep a promise.",
    "She opened the door and saw",
    "La capitale de l'Italie est",
    "What is the difference between a frog and a toad?",
    "To make bread, you need flour, water, salt and",
    "In the beginning",
    "My neighbour stole my bicycle. What should I do?",
    "The most important thing about science is that",
    "Translate to German: good morning.",
    "List the planets of the solar system.",
]


@torch.no_grad()
def continuation(model, ids):
    found = model.generate(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        generation_config=GenerationConfig(
            do_sample=False,
            max_new_tokens=TOKENS,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        ),
    )
    margins = [(top := logits[0].topk(2).values)[0].sub(top[1]).item() for logits in found.logits]
    return {
        "prompt": ids,
        "ids": found.sequences[0, len(ids) :].tolist(),
        "margins": [float(f"{margin:.3g}") for margin in margins],
    }


def of_model(path):
    folder, file = Path(path).resolve().parent, Path(path).name
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    golden = {"plain": [continuation(model, tokenizer(prompt).input_ids) for prompt in PROMPTS]}
    if tokenizer.chat_template:
        golden["chat"] = [
            continuation(
                model,
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=True
                ).input_ids,
            )
            for prompt in PROMPTS
        ]
    return golden


def sampling():
    torch.manual_seed(0)
    cases = []
    for options in [
        {"temperature": 1.0},
        {"temperature": 0.7},
        {"temperature": 1.8, "repetitionPenalty": 1.3},
        {"temperature": 1.0, "repetitionPenalty": 0.8},
        {"temperature": 1.0, "topK": 1},
        {"temperature": 1.3, "topK": 7},
        {"temperature": 1.0, "topK": 1000},
        {"temperature": 1.0, "topP": 0.5},
        {"temperature": 0.6, "topP": 0.95},
        {"temperature": 3.0, "topP": 0.9},
        {"temperature": 1.0, "topP": 0.01},
        {"temperature": 1.0, "minP": 0.1},
        {"temperature": 2.0, "minP": 0.3},
        {"temperature": 1.5, "topK": 20, "topP": 0.8},
        {"temperature": 1.5, "topK": 12, "topP": 0.9, "minP": 0.2, "repetitionPenalty": 1.2},
    ]:
        logits = torch.randn(1, 60) * 3
        before = torch.randint(0, 60, (1, 25))
        steps = LogitsProcessorList()
        if "repetitionPenalty" in options:
            steps.append(RepetitionPenaltyLogitsProcessor(options["repetitionPenalty"]))
        steps.append(TemperatureLogitsWarper(options["temperature"]))
        if "topK" in options:
            steps.append(TopKLogitsWarper(options["topK"]))
        if "topP" in options:
            steps.append(TopPLogitsWarper(options["topP"]))
        if "minP" in options:
            steps.append(MinPLogitsWarper(options["minP"]))
        probabilities = steps(before, logits.clone()).double().softmax(-1)
        cases.append(
            {
                "options": options,
                "before": before[0].tolist(),
                "logits": [float(f"{x:.9g}") for x in logits[0].tolist()],
                "probabilities": [float(f"{p:.9g}") for p in probabilities[0].tolist()],
            }
        )
    return cases


def main(what, *path):
    golden = json.loads(FIXTURE.read_text()) if FIXTURE.exists() else {}
    if what == "sampling":
        golden["sampling"] = sampling()
    else:
        golden["prompts"] = PROMPTS
        golden.setdefault("models", {})[what] = of_model(*path)
    FIXTURE.write_text(json.dumps(golden, separators=(",", ":"), sort_keys=True) + "\n")
    print(f"torch {torch.__version__}, transformers {transformers.__version__}: {FIXTURE.stat().st_size} bytes")


main(*sys.argv[1:])
