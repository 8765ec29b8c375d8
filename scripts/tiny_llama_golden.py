"""A random Llama of two blocks in which every parameter matters -> fixtures/tiny-llama/, fixtures/tiny-llama.gguf, fixtures/tiny-llama.golden.safetensors

    python scripts/tiny_llama_golden.py

Made with torch 2.13.0, transformers 5.23.0, tokenizers 0.23.3, gguf 0.19.0, safetensors 0.8.0, numpy 2.4.6. The GGUF holds the same weights, rows of
query and key interleaved as files of the llama family have them. The golden is computed in double precision.
"""
import json
import os
import shutil

import gguf
import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import exact_decoder

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures")
HEADS, KV_HEADS, HEAD_DIM, HIDDEN, MLP, VOCABULARY = 4, 2, 16, 32, 40, 72


def tokenizer():
    pieces = sorted(set("abcdefghijklmnopqrstuvwxyzĠ.,'")) + ["th", "he", "Ġt", "in", "er", "an", "Ġa", "on"]
    vocabulary = {piece: i for i, piece in enumerate(["<s>", "</s>", *pieces])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("t", "h"), ("h", "e"), ("Ġ", "t"), ("i", "n"), ("e", "r"), ("a", "n"), ("Ġ", "a"), ("o", "n")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return tokenizer


def interleaved(rows, heads):
    """Row h * dim/2 + i of a head goes to row 2 i + h."""
    return rows.reshape(heads, 2, HEAD_DIM // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def write_gguf(path, state, config):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(MLP)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(HEAD_DIM)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in state.items():
        if "q_proj" in name:
            tensor = interleaved(tensor, HEADS)
        if "k_proj" in name:
            tensor = interleaved(tensor, KV_HEADS)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


torch.manual_seed(20)
config = transformers.LlamaConfig(
    vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=MLP, num_hidden_layers=2, num_attention_heads=HEADS,
    num_key_value_heads=KV_HEADS, head_dim=HEAD_DIM, max_position_embeddings=64, rms_norm_eps=1e-2, attention_bias=True, mlp_bias=True,
    tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 50.0}, bos_token_id=0, eos_token_id=1,
)  # fmt: skip
model = transformers.LlamaForCausalLM(config).eval()
with torch.no_grad():
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
        else:
            parameter.copy_(torch.randn_like(parameter) * (0.3 if name.endswith("bias") else parameter.shape[1] ** -0.5))

folder = os.path.join(FIXTURES, "tiny-llama")
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(folder)
state = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
save_file(state, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
with open(os.path.join(folder, "config.json"), "w") as file:
    json.dump({**config.to_diff_dict(), "architectures": ["LlamaForCausalLM"]}, file, indent=2, sort_keys=True)
tokenizer().save(os.path.join(folder, "tokenizer.json"), pretty=False)
write_gguf(os.path.join(FIXTURES, "tiny-llama.gguf"), state, config)

lengths = torch.tensor([17, 1, 9, 24, 5])
ids = torch.randint(VOCABULARY, (len(lengths), int(lengths.max())))
exact, logits = exact_decoder.states(exact_decoder.exact(model), ids, lengths)
golden = {name: np.ascontiguousarray(value.astype(np.float32)) for name, value in exact.items()}
golden |= {"ids": ids.numpy().astype(np.int32), "lengths": lengths.numpy().astype(np.int32), "logits": np.ascontiguousarray(logits.astype(np.float32))}
save_file(golden, os.path.join(FIXTURES, "tiny-llama.golden.safetensors"), metadata={"torch": torch.__version__, "transformers": transformers.__version__})
