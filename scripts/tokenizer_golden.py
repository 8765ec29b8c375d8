"""Makes fixtures/tokenizer.golden.json.gz: 1,000 varied strings and their ids as transformers gives them, by SmolLM2's tokenizer (from
its GGUF) and by small ones of other kinds, which are trained here and lie in fixtures/tokenizers: GGUF files of the kinds llama, gemma
and gpt2 with llama-bpe's splitting, and directories with a tokenizer.json (byte-level with digits apart, as SmolLM has it on the hub;
SentencePiece-like; GPT-2-like with a space in front; one that splits in all ways).

transformers 5.23.0, tokenizers 0.23.3, gguf 0.19.0, Python 3.11 (Unicode 14).
Usage: python scripts/tokenizer_golden.py path/to/SmolLM2-135M-Instruct.Q4_1.gguf
"""

import gzip
import json
import random
import shutil
import sys
import unicodedata
from pathlib import Path

import gguf
import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
TINY = FIXTURES / "tokenizers"

SENTENCES = r"""Returning the wallet that I found in the street is morally good.
She doesn't think they've lied, but I'd say he'll regret it; we're sure it's theirs.
DON'T SHOUT, IT'S RUDE! I'M SERIOUS, YOU'RE LATE, WE'VE WAITED, HE'D KNOWN, SHE'LL COME
the dog's bone, the dogs’ bones, rock ’n’ roll, ’tis the season, o'clock
In 1984 there were 3,141,592 people; 50% paid $19.99, the others €7.50 or £3½.
1 12 123 1234 12345 123456 1234567 3.14e-10 0xDEADBEEF 1_000_000 2nd 3rd
ⅠⅡⅢ ①②③ ½¼¾ x² y³ H₂O ٣٤٥ १२३ 一二三 〇 ፩፪ 𝟘𝟙𝟚
def f(x: int) -> list[int]:\n    return [x ** 2 for _ in range(10)]  # squares\n
const f = async (x) => { await g(x?.y ?? z); };\t// ok\r\n\r\n
if (a<b && c>=d || !e) { s += "\\n\\t\\u00e9"; } /* comment */
SELECT name, COUNT(*) FROM t WHERE a='b' GROUP BY 1 HAVING n>2;
<div class="a-b_c" id='x'>&nbsp;&amp;</div><!-- -->
https://example.org/a/b.c?d=e&f=g%20h#i_j-k http://localhost:8080 mailto:me+tag@example.co.uk
~/.config/some-file_v1.2.3.tar.gz C:\\\\Users\\\\me\\\\file.txt /usr/bin/env
诚实是最好的策略。我是女孩子，跟我们班的一个男同学很有缘分。
人に親切にすることは大切です。カタカナとひらがな、そして漢字。ｶﾀｶﾅ　全角
거짓말을 하는 것은 옳지 않다. 한국어 문장입니다.
الكذب ليس جيداً، والصدق فضيلة. هل تساعد جارك؟ ٱلسَّلَامُ عَلَيْكُمْ
עזרה לזולת היא דבר טוב. שָׁלוֹם עֲלֵיכֶם
Ложь — это плохо; помогать другим хорошо. Ёлки-палки! Українська мова
Η ειλικρίνεια είναι η καλύτερη πολιτική. Ἐν ἀρχῇ ἦν ὁ λόγος
सच बोलना अच्छा है। दूसरों की मदद करना धर्म है। क्षत्रिय ज्ञान
பொய் சொல்வது தவறு. উদারতা একটি গুণ। సత్యం చెప్పడం
การโกหกเป็นสิ่งที่ไม่ดี ภาษาไทยไม่มีช่องว่าง
ტყუილი ცუდია. Ճշմարտությունը լավ է։ አማርኛ ቋንቋ
Être honnête, c’est déjà ça. Übermäßig große Straße. ¿Qué tal, señor? Žluťoučký kůň. Iğdır'da ışık
Tiếng Việt có nhiều dấu thanh. Dùng Unicode tổ hợp: e\u0302\u0301, a\u0306\u0300
café cafe\u0301 Å A\u030a \u212b ﬁ ﬂ ﬃ ǆ ẞ ß İ ı ſ
Z\u0351\u036b\u0343a\u0329\u034dl\u0308\u0302g\u0300o\u0301 \u0301\u0301\u0301 a\u20dd 1\u20e3
😀😂🥲 👍🏽👩🏿‍🚀 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇯🇵 ❤️‍🔥 ☺️ ✈︎ 🫠 #️⃣ 1️⃣
e=mc² ∀x∈ℝ: ∑ᵢ₌₁ⁿ xᵢ² ≥ 0 → ∂f/∂x ≈ √2·π ± ∞ ℵ₀ 𝔸𝕓𝒞𝖉
"quoted" 'single' “curly” ‘curly’ «guillemets» „low“ ‹x› 「日本」『書』 (a) [b] {c} <d>
... … .. . ,, ;; :: !! ?! ?? -- --- – — _ __ ** *** ## ### @@ && || \\ // == === != -> => <- <=>
¡ ¢ £ ¤ ¥ ¦ § ¨ © ª « ¬ ® ¯ ° ± ¹ ² ³ ´ µ ¶ · ¸ º » ¼ ¿ × ÷
a\u00a0b\u2003c\u2009d\u200be\u200cf\u200dg\u2060h\ufeffi\u3000j\u0085k\u2028l\u2029m\u180en
\u200e\u200fleft right\u202a\u202b\u202c\u2066\u2069 \u00ad soft \ufffd \ufffe \ue000 \U000f0000
\x00 \x01\x02 \x07\x08 \x0b \x0c \x1b[31mred\x1b[0m \x7f \x80\x9f""".split("\n")
SENTENCES = [s.encode("latin-1", "backslashreplace").decode("unicode_escape") for s in SENTENCES]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>", "<s>", "</s>", "<unk>", "<bos>", "<eos>",
           "<0x0A>", "<start_of_turn>", "<think>", "[INST]", "<pad>"]
SPACES = [" ", "  ", "   ", "     ", " " * 9, " " * 17, "\t", "\t\t", "\n", "\n\n", "\n\n\n", "\r\n", "\r", " \n", "\n ", " \t ", "\x0b",
          "\x0c", "\u00a0", "\u2003", "\u3000", "\ufeff", "\u0085", "\u2028", "\u200b"]


def strings() -> list[str]:
    rng = random.Random(0)
    assigned = [chr(c) for c in range(0x20, 0x20000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    words = [w for s in SENTENCES for w in s.split(" ") if w]
    found = ["", " ", "a", *SENTENCES, *SPECIAL, *SPACES]
    found += [f"<|im_start|>user\n{s}<|im_end|>\n<|im_start|>assistant\n" for s in SENTENCES[:8]]
    found += [f"{a}{s}{b}" for s in SPECIAL for a, b in (("x", "y"), (" x ", " y "), ("\n", "\n"))]
    found += [f"{a}{s}{b}" for s in SPACES for a, b in (("a", "b"), ("1", "2"), ("", "!"), ("é", "漢"))]
    while len(found) < 1000:
        kind = rng.randrange(5)
        if kind == 0:  # words of all scripts between all kinds of white space
            text = "".join(rng.choice(words) + rng.choice(SPACES + [" "] * 60) for _ in range(rng.randint(1, 9)))
        elif kind == 1:  # a piece of a sentence, cut anywhere
            s = rng.choice(SENTENCES)
            start = rng.randrange(len(s))
            text = s[start : start + rng.randint(1, 40)]
        elif kind == 2:  # any characters
            text = "".join(rng.choice(assigned) for _ in range(rng.randint(1, 12)))
        elif kind == 3:  # words run together with special tokens, digits and spaces
            text = "".join(rng.choice([rng.choice(words), rng.choice(SPECIAL), str(rng.randrange(10**6)), rng.choice(SPACES)])
                           for _ in range(rng.randint(2, 7)))
        else:  # ASCII noise
            text = "".join(chr(rng.choice([rng.randint(32, 126), rng.randint(32, 126), 32, 39, 10, 48])) for _ in range(rng.randint(1, 30)))
        found.append(text)
    return found[:1000]


def train(tokenizer: Tokenizer, size: int, special: list[str], alphabet: list[str]) -> dict:
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False, limit_alphabet=max(150, len(alphabet)))
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    return json.loads(tokenizer.to_str())["model"]


def write_gguf(name: str, model: str, tokens: list[str], types: list[int], **more) -> None:
    writer = gguf.GGUFWriter(TINY / f"{name}.gguf", more.pop("architecture", "llama"))
    # What transformers wants to see before it looks at the tokenizer.
    writer.add_block_count(1)
    writer.add_context_length(8)
    writer.add_embedding_length(8)
    writer.add_feed_forward_length(8)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    for key, value in more.items():
        getattr(writer, f"add_{key}")(value)
    writer.add_tensor("token_embd.weight", np.zeros((1, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def byte_level_gguf() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model = train(tokenizer, 700, ["<|endoftext|>", "<|im_start|>"], pre_tokenizers.ByteLevel.alphabet())
    tokens = sorted(model["vocab"], key=model["vocab"].get) + ["<think>"]
    types = [3, 3] + [1] * (len(tokens) - 3) + [4]
    write_gguf("byte-level", "gpt2", tokens, types, token_merges=[" ".join(m) for m in model["merges"]], tokenizer_pre="llama-bpe",
               bos_token_id=0, eos_token_id=1, add_bos_token=True)


BYTES = [f"<0x{b:02X}>" for b in range(256)]


def sentencepiece_gguf() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    model = train(tokenizer, 500, [], ["\u2581"])
    pieces = [p for p in sorted(model["vocab"], key=model["vocab"].get) if p.strip("\n") and p not in ("\u2581" * 2, "\u2581" * 3)]
    tokens = ["<unk>", "<s>", "</s>", *BYTES, *pieces]
    types = [2, 3, 3] + [6] * 256 + [1] * len(pieces)
    scores = [0.0] * 259 + [-float(i) for i in range(len(pieces))]
    write_gguf("sentencepiece", "llama", tokens, types, token_scores=scores, bos_token_id=1, eos_token_id=2, unk_token_id=0)
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "\n", "\n\n", "  ", "   ", *BYTES, *pieces]
    types = [3, 3, 3, 2, 4, 3, 4, 4, 4, 4] + [6] * 256 + [1] * len(pieces)
    scores = [-1000.0] * len(tokens)
    write_gguf("gemma", "llama", tokens, types, token_scores=scores, bos_token_id=2, eos_token_id=1, unk_token_id=3, pad_token_id=0,
               add_bos_token=True, architecture="gemma3")


def save_directory(name: str, tokenizer: Tokenizer, **config) -> None:
    (TINY / name).mkdir()
    tokenizer.save(str(TINY / name / "tokenizer.json"), pretty=False)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **config}
    (TINY / name / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


def directories() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, 600, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], pre_tokenizers.ByteLevel.alphabet())
    save_directory("digits", tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token=None,
                   chat_template="{{ messages[0]['content'] }}")

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    train(tokenizer, 600, ["<unk>", "<s>", "</s>", *BYTES], ["\u2581"])
    # With merges across words, so that it shows whether words are kept apart.
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    save_directory("metaspace", tokenizer, bos_token={"content": "<s>", "__type": "AddedToken"}, eos_token="</s>", unk_token="<unk>")

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    train(tokenizer, 500, ["<|endoftext|>"], pre_tokenizers.ByteLevel.alphabet())
    save_directory("prefix-space", tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>", add_bos_token=True)

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, 600, ["<|endoftext|>"], pre_tokenizers.ByteLevel.alphabet())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("-", "contiguous"), pre_tokenizers.Split(Regex(r"\s"), "merged_with_previous"),
        pre_tokenizers.Split("th", "merged_with_next"), pre_tokenizers.Split(Regex("[oa]"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    save_directory("splits", tokenizer)


def golden(tokenizer, texts: list[str]) -> dict:
    ids = [tokenizer(text).input_ids for text in texts]
    decoded = {str(i): d for i, (text, row) in enumerate(zip(texts, ids)) if (d := tokenizer.decode(row)) != text}
    return {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id, "size": len(tokenizer),
            "ids": ids, "decoded": decoded}


def main() -> None:
    shutil.rmtree(TINY, ignore_errors=True)
    TINY.mkdir(parents=True)
    byte_level_gguf()
    sentencepiece_gguf()
    directories()
    texts = strings()
    some = texts[::3]
    smollm = Path(sys.argv[1])
    found = {"smollm2": golden(AutoTokenizer.from_pretrained(smollm.parent, gguf_file=smollm.name), texts)}
    for path in sorted(TINY.iterdir()):
        tokenizer = AutoTokenizer.from_pretrained(TINY, gguf_file=path.name) if path.suffix else AutoTokenizer.from_pretrained(path)
        found[path.name] = golden(tokenizer, some)
    # SmolLM2's own way, for which the hub's tokenizer.json asks: every digit apart before anything else.
    own = AutoTokenizer.from_pretrained(smollm.parent, gguf_file=smollm.name)
    own.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    differ = [i for i, text in enumerate(texts) if own(text).input_ids != found["smollm2"]["ids"][i]]
    print(f"{len(differ)} of {len(texts)} strings differ between the GGUF as transformers reads it and the hub's tokenizer.json")
    source = json.dumps({"texts": texts, "every": 3, "tokenizers": found}, ensure_ascii=False, separators=(",", ":"))
    (FIXTURES / "tokenizer.golden.json.gz").write_bytes(gzip.compress(source.encode(), mtime=0))


main()
