"""Python frameworks that draw with OpenAI's Images API, each by its own image calls with its own defaults.

usage: sdks.py BASE_URL

Prints, as JSON, a list of {"client", "version", "operations": {operation: "yes" or what failed}}.
"""

import base64
import importlib.metadata
import io
import json
import os
import sys

BASE_URL = sys.argv[1]
# Where a client takes no address, and nothing that calls home.
os.environ.update(
    OPENAI_BASE_URL=BASE_URL,
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    HAYSTACK_TELEMETRY_ENABLED="False",
    LANGSMITH_TRACING="false",
    NO_PROXY="127.0.0.1",
)

import httpx2
import litellm
import openai
from haystack.components.generators import OpenAIImageGenerator
from haystack.utils import Secret
from langchain_community.tools.openai_dalle_image_generation import OpenAIDALLEImageGenerationTool
from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper
from llama_index.tools.openai import OpenAIImageGenerationToolSpec
from PIL import Image

litellm.telemetry = False
litellm.suppress_debug_info = True
KEY, PROMPT = "not looked at", "a red fox"


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


OPAQUE = png(Image.new("RGB", (64, 64), (90, 120, 150)))
HALF = Image.new("RGBA", (64, 64), (90, 120, 150, 255))
HALF.paste((0, 0, 0, 0), (0, 0, 32, 64))
HALF = png(HALF)


def file(name, content):
    """A file as these clients take one: its name says what it is."""
    opened = io.BytesIO(content)
    opened.name = name
    return opened


def size_of(picture):
    """Width and height of a picture by its address or in base64."""
    content = httpx2.get(picture).content if picture.startswith("http") else base64.b64decode(picture)
    return Image.open(io.BytesIO(content)).size


def drawn(picture, size=None):
    found = size_of(picture)
    assert size in (None, found), (size, found)


def of_answer(answer, size=None):
    for image in answer.data:
        drawn(image.url or image.b64_json, size)


def official():
    client = openai.OpenAI(api_key=KEY, base_url=BASE_URL)

    def stream():
        events = list(client.images.generate(model="gpt-image-1", prompt=PROMPT, stream=True, partial_images=1))
        assert [event.type for event in events] == ["image_generation.partial_image", "image_generation.completed"], events
        drawn(events[-1].b64_json)

    return {
        "generations": lambda: of_answer(client.images.generate(prompt=PROMPT, size="1024x1024", quality="hd", style="vivid"), (1024, 1024)),
        "streams": stream,
        "edits": lambda: of_answer(client.images.edit(image=file("a.png", HALF), mask=file("b.png", HALF), prompt=PROMPT)),
        "edits without a mask": lambda: of_answer(client.images.edit(image=file("a.png", OPAQUE), prompt=PROMPT)),
        "variations": lambda: of_answer(client.images.create_variation(image=file("a.png", OPAQUE), size="256x256"), (256, 256)),
        "models": lambda: client.models.list().data[0].id,
    }


def langchain():
    tool = OpenAIDALLEImageGenerationTool(api_wrapper=DallEAPIWrapper(api_key=KEY, base_url=BASE_URL))
    return {"generations": lambda: drawn(tool.run(PROMPT), (1024, 1024))}


def llama_index():
    return {"generations": lambda: drawn(OpenAIImageGenerationToolSpec(api_key=KEY).image_generation(PROMPT), (1024, 1024))}


def lite_llm():
    at = {"api_base": BASE_URL, "api_key": KEY}
    edit = lambda **files: litellm.image_edit(model="openai/gpt-image-1", prompt=PROMPT, **files, **at)
    return {
        "generations": lambda: of_answer(
            litellm.image_generation(model="openai/dall-e-3", prompt=PROMPT, size="1792x1024", quality="hd", **at),
            (1792, 1024),
        ),
        "edits": lambda: of_answer(edit(image=file("a.png", HALF), mask=file("b.png", HALF))),
        "edits without a mask": lambda: of_answer(edit(image=file("a.png", OPAQUE))),
        "variations": lambda: of_answer(litellm.image_variation(model="openai/dall-e-2", image=file("a.png", OPAQUE), **at)),
    }


def haystack():
    generator = OpenAIImageGenerator(api_key=Secret.from_token(KEY), api_base_url=BASE_URL, timeout=300)
    return {"generations": lambda: drawn(generator.run(PROMPT)["images"][0], (1024, 1024))}


CLIENTS = [
    ("openai (Python)", "openai", official),
    ("LangChain (Python)", "langchain-community", langchain),
    ("LlamaIndex", "llama-index-tools-openai-image-generation", llama_index),
    ("LiteLLM", "litellm", lite_llm),
    ("Haystack", "haystack-ai", haystack),
]


def run(call):
    try:
        call()
        return "yes"
    except Exception as error:
        return f"no: {type(error).__name__}: {error}"


def main():
    rows = []
    for name, package, operations in CLIENTS:
        found = {operation: run(call) for operation, call in operations().items()}
        rows.append({"client": name, "version": importlib.metadata.version(package), "operations": found})
    print(json.dumps(rows))


main()
