"""Talks to a running `moralscope serve` with OpenAI's own Python client, and checks what comes back

    moralscope serve --model smollm2-135m &
    python scripts/openai_client.py http://127.0.0.1:8321/v1 [MODEL_ID]

Made with openai 3.54.0. Exits with 1, and says why, when an answer is not what the API promises.
"""
import os
import sys

import openai


def main():
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8321/v1"
    client = openai.OpenAI(base_url=url, api_key=os.environ.get("OPENAI_API_KEY", "none"), max_retries=0)
    ids = [model.id for model in client.models.list()]
    model = sys.argv[2] if len(sys.argv) > 2 else ids[0]
    print(len(ids), "model ids:", ", ".join(ids[:3]), "...")
    client.models.retrieve(model)
    asked = {"model": model, "messages": [{"role": "user", "content": "Is it wrong to lie?"}], "max_tokens": 16, "temperature": 0}

    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
    content = whole.choices[0].message.content
    tokens = whole.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == content, "logprobs are of other tokens than the message's"
    assert all(token.top_logprobs[0].logprob == token.logprob for token in tokens), "greedy did not take the likeliest token"
    assert whole.usage.completion_tokens == 16, whole.usage
    print("chat:", content)

    pieces = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == content, "the stream differs"
    assert pieces[-1].usage == whole.usage, pieces[-1].usage

    drawn = {"model": model, "prompt": "Once upon a time", "max_tokens": 8, "temperature": 1, "seed": 7, "n": 2}
    first, second = (client.completions.create(**drawn) for _ in range(2))
    texts = [choice.text for choice in first.choices]
    assert texts == [choice.text for choice in second.choices], "the same seed gave other texts"
    assert texts[0] != texts[1], "two choices are one"
    print("completions:", texts)

    scored = client.completions.create(model=model, prompt=["Honesty is good", "Honesty is bad"], max_tokens=0, echo=True, logprobs=1)
    for choice in scored.choices:
        assert choice.logprobs.token_logprobs[0] is None
        print(f"{choice.text}: {sum(choice.logprobs.token_logprobs[1:]):.3f} nats")

    for wrong, expected in [
        ({"model": "gpt-4"}, openai.NotFoundError),
        ({"temperature": 9}, openai.BadRequestError),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError),
    ]:
        try:
            client.chat.completions.create(**{**asked, **wrong})
        except expected as error:
            print(f"{type(error).__name__} {error.code} {error.param}: {error.body['message']}")
        else:
            sys.exit(f"{wrong} was taken")

    with client.chat.completions.create(**{**asked, "max_tokens": 2000}, stream=True) as stream:
        next(iter(stream))
    print("ok")


main()
