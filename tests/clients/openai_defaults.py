"""What stock clients send that this model can't do, and what becomes of it.

usage: openai_defaults.py BASE_URL GROUP

As openai_images.py, with the groups lenient_ (a server with its defaults) and strict_ (one with --openai-strict).
"""

import base64
import io

import httpx2
import openai
import openai_images as images
from openai_images import FEW, client, generate, grey, half, pixels_of, png, refused
from PIL import Image, ImageOps

LOOKS = {"style": "vivid", "quality": "hd", "moderation": "low", "background": "auto"}


def opened(file):
    return Image.open(io.BytesIO(file)).convert("RGB")


def edit(**parameters):
    return client().images.edit(prompt="a red fox", **{"extra_body": {**FEW, "seed": 4}, **parameters})


def black_and_white(side):
    """White on the left, without any transparency."""
    return png(side, side, [b"\xff" * 3 * (side // 2) + b"\0" * 3 * (side - side // 2)] * side, colour=2)


def lenient_says_what_it_ignores():
    plain = generate({"seed": 7})
    assert plain.ignored_parameters == [] and plain.drawn_size == plain.size == "32x32"
    for quality in ("hd", "low", "medium", "high", "standard", "auto"):
        answer = generate({"seed": 7}, **{**LOOKS, "quality": quality})
        assert sorted(answer.ignored_parameters) == sorted(LOOKS), answer.ignored_parameters
        assert pixels_of(answer) == pixels_of(plain)
    last = list(client().images.generate(prompt="a red fox", stream=True, extra_body={**FEW, "seed": 7}, **LOOKS))[-1]
    assert sorted(last.ignored_parameters) == sorted(LOOKS) and last.drawn_size == "32x32"
    answer = edit(image=half(32), input_fidelity="high", quality="high")
    assert answer.ignored_parameters == ["quality", "input_fidelity"], answer.ignored_parameters


def lenient_draws_every_size_as_pillow_resizes_it():
    drawn = opened(pixels_of(generate({"seed": 7}))[0])
    for width, height in [(256, 256), (512, 512), (1024, 1024), (1536, 1024), (1024, 1792), (20, 20), (1, 4096)]:
        answer = generate({"seed": 7}, size=f"{width}x{height}")
        assert (answer.size, answer.drawn_size) == (f"{width}x{height}", "32x32")
        assert answer.data[0].receipt["output_size"] == {"width": width, "height": height}
        found = opened(pixels_of(answer)[0])
        # In the middle lies all of the picture; the ground is one colour.
        side = min(width, height)
        left, top = round((width - side) * 0.5), round((height - side) * 0.5)
        ground = found.getpixel((0, 0))
        expected = ImageOps.pad(drawn, (width, height), method=Image.Resampling.LANCZOS, color=ground)
        assert found.tobytes() == expected.tobytes(), (width, height)
        inner = drawn.resize((side, side), Image.Resampling.LANCZOS)
        assert found.crop((left, top, left + side, top + side)).tobytes() == inner.tobytes()
    streamed = list(client().images.generate(prompt="a red fox", stream=True, size="1024x1024", extra_body={**FEW, "seed": 7}))[-1]
    assert (streamed.size, streamed.drawn_size) == ("1024x1024", "32x32")
    assert opened(base64.b64decode(streamed.b64_json)).size == (1024, 1024)
    varied = client().images.create_variation(image=grey(32), size="512x512", extra_body={"steps": 2, "upsampler_steps": 2})
    assert opened(pixels_of(varied)[0]).size == (512, 512) and varied.drawn_size == "32x32"
    assert opened(pixels_of(edit(image=half(32), size="256x256"))[0]).size == (256, 256)
    refused(openai.BadRequestError, lambda: generate(size="4097x10"), "from 1 to 4096", param="size")
    refused(openai.BadRequestError, lambda: generate(size="0x0"), "from 1 to 4096", param="size")


def lenient_takes_long_prompts_and_any_seed():
    answer = generate(prompt="a red fox, " * 2900)
    assert answer.data[0].receipt["prompt_truncated"]
    assert generate(prompt="é" * 32_000).data
    seeds = {generate({"seed": -1}).data[0].seed for _ in range(3)}
    assert len(seeds) > 1, "-1 is any seed"
    form = client().images.create_variation(image=grey(32), extra_body={"seed": -1, "steps": 1, "upsampler_steps": 1})
    assert form.data[0].seed >= 0


def lenient_uses_the_first_of_several_pictures():
    first = edit(image=half(32))
    several = edit(image=[half(32), grey(32), b"not even a picture"])
    assert pixels_of(several) == pixels_of(first) and several.ignored_parameters == ["image[1]", "image[2]"]
    url = {"image_url": "data:image/png;base64," + base64.b64encode(half(32)).decode()}
    body = {"prompt": "a red fox", "images": [url, {"file_id": "file-1"}], **FEW, "seed": 4}
    answer = httpx2.post(f"{images.BASE_URL}/images/edits", json=body, timeout=120).json()
    assert answer["data"][0]["b64_json"] == first.data[0].b64_json and answer["ignored_parameters"] == ["images[1]"]


def lenient_varies_a_whole_picture_by_the_prompt():
    opaque = edit(image=grey(32))
    receipt = opaque.data[0].receipt
    assert receipt["operation"] == "edit" and receipt["edit"]["varied"] and receipt["prompt"] == "a red fox"
    assert pixels_of(edit(image=grey(32))) == pixels_of(opaque), "a seed is a picture"
    other = png(32, 32, [bytes([250, 10, 10, 255] * 16 + [10, 10, 250, 255] * 16)] * 32)
    drawn = pixels_of(generate({"seed": 4}))
    assert pixels_of(edit(image=other)) not in (pixels_of(opaque), drawn), "the picture counts"
    by_another = client().images.edit(image=grey(32), prompt="a blue box", extra_body={**FEW, "seed": 4})
    assert pixels_of(by_another) != pixels_of(opaque), "the prompt counts"
    stream = list(client().images.edit(image=grey(32), prompt="a red fox", stream=True, partial_images=1, extra_body={**FEW, "seed": 4}))
    assert [event.type for event in stream] == ["image_edit.partial_image", "image_edit.completed"]
    assert base64.b64decode(stream[-1].b64_json) == pixels_of(opaque)[0]
    with_resample = {"extra_body": {**FEW, "resample": 2}}
    refused(openai.BadRequestError, lambda: edit(image=grey(32), **with_resample), "no seam", param="resample")


def lenient_refuses_masks_that_free_nothing():
    for mask in (grey(32), grey(32, alpha=1), black_and_white(32)):
        refused(openai.BadRequestError, lambda: edit(image=grey(32), mask=mask), "alpha 0", "mask_mode", param="mask")
    white = {"extra_body": {**FEW, "seed": 4, "mask_mode": "white"}}
    by_colour, by_alpha = edit(image=grey(32), mask=black_and_white(32), **white), edit(image=grey(32), mask=half(32))
    assert pixels_of(by_colour) == pixels_of(by_alpha), "white is repainted"
    assert by_colour.data[0].receipt["edit"]["mask_mode"] == "MASK_MODE_WHITE"
    black = png(32, 32, [b"\0" * 96] * 32, colour=2)
    refused(openai.BadRequestError, lambda: edit(image=grey(32), mask=black, **white), "no pixel is white", param="mask")
    refused(openai.BadRequestError, lambda: edit(image=grey(32), **white), "there is none", param="mask_mode")
    wide = png(96, 32, [bytes([9, 9, 9, 0] * 32 + [9, 9, 9, 255] * 64)] * 32)
    refused(openai.BadRequestError, lambda: edit(image=wide), "cut off", param="image")


def strict_refuses_what_it_cant_honour():
    generate(background="opaque", quality="standard", moderation="low", safety_identifier="somebody", output_compression=100)
    for param, value in {"style": "vivid", "quality": "hd", "complexity": "low", "background": "transparent"}.items():
        refused(openai.BadRequestError, lambda: generate(**{param: value}), param=param, code="unsupported_parameter")
    refused(openai.BadRequestError, lambda: generate(size="1024x1024"), "use 32x32", param="size")
    refused(openai.BadRequestError, lambda: generate({"seed": -1}), param="seed")
    refused(openai.BadRequestError, lambda: generate(output_format="png", output_compression=50), param="output_compression")
    refused(openai.BadRequestError, lambda: edit(image=half(32), input_fidelity="high"), param="input_fidelity")
    refused(openai.BadRequestError, lambda: edit(image=[half(32), half(32)]), "2 pictures", param="image")
    refused(openai.BadRequestError, lambda: edit(image=grey(32)), "there is no mask", param="image")


if __name__ == "__main__":
    images.main(globals())
