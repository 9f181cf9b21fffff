"""A tiny but real CLIP byte-pair vocabulary, and the two ways CLIP tokenizers are stored on disk."""

import json
from collections import Counter
from pathlib import Path

from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"

CORPUS = (
    "a photo of a red fox in the snow the cat sat on the mat an oil painting of the sea at night "
    "the quick brown fox jumps over the lazy dog it 's a corgi playing a trumpet in the style of the old masters "
    "portrait of the astronaut and the horse on the moon it 's raining in the city café naïve"
)


def byte_symbols() -> list[str]:
    """GPT-2's printable stand-in for each byte, in CLIP's vocabulary order (so that "!" has id 0)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    shifted = [256 + i for i in range(256 - len(printable))]
    return [chr(code) for code in [*printable, *shifted]]


def byte_alphabet() -> dict[int, str]:
    """The stand-in of each byte value."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return dict(zip([*printable, *others], byte_symbols()))


def merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """`word` with every occurrence of `pair` joined, left to right."""
    out: list[str] = []
    for symbol in word:
        if out and (out[-1], symbol) == pair:
            out[-1] += symbol
            # A joined symbol may not be the left half of the same merge again.
            out.append("")
        else:
            out.append(symbol)
    return tuple(symbol for symbol in out if symbol)


def learn_merges(count: int) -> list[tuple[str, str]]:
    """`count` byte-pair merges of `CORPUS`; ties go to the pair that sorts first."""
    alphabet = byte_alphabet()
    words = Counter()
    for word in CORPUS.split():
        symbols = [alphabet[byte] for byte in word.encode()]
        words[(*symbols[:-1], symbols[-1] + "</w>")] += 1
    merges = []
    for _ in range(count):
        pairs = Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = Counter({merged(word, best): times for word, times in words.items()})
    return merges


def vocabulary(merges: list[tuple[str, str]]) -> dict[str, int]:
    """Token to id: bytes, bytes that end a word, merges, start, end. The order of OpenAI's CLIP."""
    symbols = byte_symbols()
    tokens = [*symbols, *(s + "</w>" for s in symbols), *("".join(m) for m in merges), START, END]
    return {token: index for index, token in enumerate(tokens)}


def save_legacy(folder: Path, merges: list[tuple[str, str]], pad: str, max_length: int) -> None:
    """The four files of the original Karlo repository: no `tokenizer.json`."""
    folder.mkdir(parents=True, exist_ok=True)

    def special(content: str, normalized: bool) -> dict:
        return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}

    names = {"bos_token": special(START, True), "eos_token": special(END, True), "unk_token": special(END, True)}
    tagged = {name: {"__type": "AddedToken", **token} for name, token in names.items()}
    config = {
        "add_prefix_space": False,
        **tagged,
        "device_map": "auto",
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": max_length,
        "name_or_path": "openai/clip-vit-large-patch14",
        "pad_token": pad,
        "special_tokens_map_file": "./special_tokens_map.json",
        "tokenizer_class": "CLIPTokenizer",
    }
    write_json(folder / "vocab.json", vocabulary(merges))
    write_json(folder / "special_tokens_map.json", {**names, "pad_token": pad})
    write_json(folder / "tokenizer_config.json", config)
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def save_modern(folder: Path, merges: list[tuple[str, str]], pad: str, max_length: int) -> None:
    """What `save_pretrained` of today's transformers writes: `tokenizer.json` and `tokenizer_config.json`."""
    tokenizer = CLIPTokenizer(
        vocab=vocabulary(merges), merges=merges, pad_token=pad, model_max_length=max_length
    )
    tokenizer.save_pretrained(folder)


def write_json(path: Path, value: object) -> None:
    """Writes `value` indented, as UTF-8, with a final newline."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
