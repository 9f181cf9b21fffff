"""The API of OpenAI's images, called by OpenAI's own client.

usage: openai_images.py BASE_URL GROUP

Runs every function of this file whose name begins with GROUP against the server at BASE_URL, and prints their names. The groups:
any_ (a server with its defaults), listed_ (one with --openai-models listed --model-name tiny --public-url
http://pictures.example/unclip) and busy_ (one whose decoder takes one picture and lets one wait). The model draws 32 x 32.
openai_defaults.py has more.
"""

import asyncio
import base64
import struct
import sys
import zlib

import httpx2
import openai

BASE_URL = ""
# As few steps as possible.
FEW = {"steps": 2, "prior_steps": 2, "upsampler_steps": 2}
# So many that no machine is done with them before the test is.
MANY = {"prior_steps": 2, "steps": 1000, "upsampler_steps": 2}
PNG, JPEG, WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF"


def client(kind=openai.OpenAI, **options):
    return kind(base_url=BASE_URL, api_key="not looked at", **{"max_retries": 0, "timeout": 120, **options})


def generate(extra=None, **parameters):
    return client().images.generate(**{"model": "unclip", "prompt": "a red fox", **parameters}, extra_body={**FEW, **(extra or {})})


def pixels_of(answer):
    return [base64.b64decode(image.b64_json) for image in answer.data]


def refused(kind, call, *texts, **members):
    """The error that `call` raises, which must be of this kind, hold these texts and have these members."""
    try:
        call()
    except kind as error:
        for text in texts:
            assert text in error.message, error.message
        for name, value in members.items():
            assert getattr(error, name) == value, (name, getattr(error, name), error.message)
        return error
    raise AssertionError(f"no {kind.__name__}")


# Files


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, rows, depth=8, colour=6, extra=b""):
    """A PNG file of unfiltered rows; colour type 6 is RGBA."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return PNG + chunk(b"IHDR", head) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def grey(side, alpha=255):
    return png(side, side, [bytes([90, 120, 150, alpha]) * side] * side)


def half(side):
    """Transparent on the left."""
    return png(side, side, [bytes([9, 9, 9, 0]) * (side // 2) + bytes([90, 120, 150, 255]) * (side - side // 2)] * side)


def cmyk():
    """A JPEG file of one block in four channels, with Adobe's mark."""

    def segment(marker, data):
        return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data

    def table(kind):
        return bytes([kind, 1]) + bytes(15) + bytes([0])

    frame = bytes([8, 0, 8, 0, 8, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0])
    return (
        b"\xff\xd8"
        + segment(0xEE, b"Adobe\0\x64\0\0\0\0\0")
        + segment(0xDB, b"\0" + b"\1" * 64)
        + segment(0xC0, frame)
        + segment(0xC4, table(0) + table(0x10))
        + segment(0xDA, bytes([4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]))
        + b"\0\xff\xd9"
    )


GOOD_FILES = {
    "RGBA": grey(32),
    "16 bits": png(2, 2, [bytes([1, 2] * 8)] * 2, depth=16),
    "one bit": png(8, 2, [b"\x0f"] * 2, depth=1, colour=0),
    "palette with alpha": png(3, 1, [bytes([0, 1, 2])], colour=3, extra=chunk(b"PLTE", bytes(range(9))) + chunk(b"tRNS", b"\xff\0\x80")),
    "animated": png(
        1,
        1,
        [bytes([1, 2, 3])],
        colour=2,
        extra=chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 1, 0, 0)),
    ),
    "CMYK": cmyk(),
}
BAD_FILES = {
    "0 bytes": (b"", "0 bytes"),
    "truncated": (grey(64)[:60], "no readable picture"),
    "bomb": (png(20_000, 20_000, [b"\0" * 100]), "at most 4096 x 4096 pixels"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no readable picture"),
    "GIF": (b"GIF89a\1\0\1\0\0\0\0", "no readable picture"),
    "JSON": (b'{"not": "a picture"}', "no readable picture"),
}


# A server with its defaults


def any_draws_pictures():
    answer = generate({"seed": 7}, n=2, size="32x32", user="somebody")
    assert all(file.startswith(PNG) for file in pixels_of(answer)) and len(answer.data) == 2
    assert [image.seed for image in answer.data] == [7, 8]
    assert answer.size == "32x32" and answer.output_format == "png" and answer.background == "opaque"
    assert answer.created > 1_700_000_000 and answer.usage.total_tokens == 0
    assert answer.data[0].revised_prompt is None and answer.data[0].url is None
    assert answer._request_id


def any_a_seed_is_a_picture_and_a_receipt_says_how():
    first, again = generate({"seed": 8}, n=2), generate({"seed": 9}, size="auto")
    assert pixels_of(first)[1] == pixels_of(again)[0]
    receipt = again.data[0].receipt
    assert receipt["prompt"] == "a red fox" and receipt["seed"] == 9
    stages = {stage["stage"]: stage for stage in receipt["stages"]}
    assert stages["STAGE_DECODER"]["steps"] == 2 and len(stages["STAGE_PRIOR"]["model_fingerprint"]) == 32


def any_takes_what_the_official_api_has_not():
    extra = {
        "seed": 2**40,
        "guidance": 3.5,
        "prior_guidance": 2,
        "negative_prompt": "blue",
        "candidates": 2,
        "prior_mode": "full",
        "eta": 0.5,
        "return_embeddings": True,
    }
    image = generate(extra).data[0]
    receipt = image.receipt
    stages = {stage["stage"]: stage for stage in receipt["stages"]}
    assert receipt["seed"] == 2**40 and receipt["negative_prompt"] == "blue" and len(receipt["candidate_scores"]) == 2
    assert stages["STAGE_DECODER"]["guidance_scale"] == 3.5 and stages["STAGE_PRIOR"]["guidance_scale"] == 2
    assert stages["STAGE_DECODER"]["sampler"] == "SAMPLER_DDIM" and stages["STAGE_DECODER"]["eta"] == 0.5
    text, embedding = image.embeddings["text"], image.embeddings["image"]
    assert len(text) == len(embedding) > 0 and text != embedding
    again = generate({**extra, "image_embedding": embedding, "candidates": 1}).data[0]
    assert again.embeddings["image"] == embedding and again.receipt["image_embedding_given"]
    error = lambda: generate({"image_embedding": embedding[1:]})
    refused(openai.BadRequestError, error, f"this model takes [{len(embedding)}]", param="image_embedding")
    blind = generate({"prior_mode": "caption_only", "return_embeddings": True}).data[0]
    assert blind.embeddings["image"] is None and blind.receipt["prior_mode"] == "PRIOR_MODE_CAPTION_ONLY"


def any_writes_every_format():
    for name, start in {"png": PNG, "jpeg": JPEG, "webp": WEBP}.items():
        answer = generate({"seed": 1}, output_format=name)
        assert pixels_of(answer)[0].startswith(start) and answer.output_format == name
    sizes = [len(pixels_of(generate({"seed": 1}, output_format="jpeg", output_compression=it))[0]) for it in (0, 50, 100)]
    assert sizes == sorted(set(sizes)), sizes
    lossless, lossy = (pixels_of(generate({"seed": 1}, output_format="webp", output_compression=it))[0] for it in (100, 80))
    assert lossless[12:16] == b"VP8L" and lossy[12:16] == b"VP8 ", (lossless[:16], lossy[:16])
    png = generate({"seed": 1}, output_format="png", output_compression=50)
    assert png.ignored_parameters == ["output_compression"] and pixels_of(png) == pixels_of(generate({"seed": 1}))


def any_pictures_have_addresses():
    for parameters in ({"model": "dall-e-2"}, {"response_format": "url", "output_format": "jpeg"}):
        image = generate({"seed": 3}, **parameters).data[0]
        assert image.b64_json is None and image.url.startswith(BASE_URL.removesuffix("/v1") + "/v1/images/files/")
        answer = httpx2.get(image.url)
        kind = "image/" + parameters.get("output_format", "png")
        assert answer.status_code == 200 and answer.headers["content-type"] == kind, answer
        assert answer.content == pixels_of(generate({"seed": 3}, output_format=kind[6:]))[0]
    answer = httpx2.get(image.url[:-8] + "000.jpeg")
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_found"


def any_streams_pictures():
    for partial_images in (0, 1, 3):
        extra = {**FEW, "steps": 8, "seed": 5}
        stream = client().images.generate(
            model="gpt-image-1", prompt="a red fox", stream=True, partial_images=partial_images, extra_body=extra
        )
        *partial, last = stream
        assert [event.type for event in partial] == ["image_generation.partial_image"] * partial_images
        assert [event.partial_image_index for event in partial] == list(range(partial_images))
        for event in partial:
            assert base64.b64decode(event.b64_json).startswith(PNG) and event.output_format == "png"
            assert event.size == "16x16" and event.background == "opaque" and event.quality == "auto"
        assert last.type == "image_generation.completed" and last.size == "32x32" and last.usage.total_tokens == 0
        assert base64.b64decode(last.b64_json) == pixels_of(generate(extra))[0]
        assert last.seed == 5 and last.receipt["seed"] == 5


def any_streams_several_pictures():
    stream = client().images.generate(
        model="unclip", prompt="a red fox", n=3, stream=True, partial_images=1, output_format="jpeg", extra_body=FEW
    )
    events = list(stream)
    done = [event for event in events if event.type == "image_generation.completed"]
    assert sorted(event.image_index for event in done) == [0, 1, 2] and {event.output_format for event in done} == {"jpeg"}
    assert all(base64.b64decode(event.b64_json).startswith(JPEG) for event in done)


def any_answers_the_async_client():
    async def draw():
        async with client(openai.AsyncOpenAI) as own:
            calls = [own.images.generate(model="unclip", prompt="a red fox", extra_body={**FEW, "seed": seed}) for seed in (1, 2)]
            stream = await own.images.generate(model="unclip", prompt="a red fox", stream=True, extra_body={**FEW, "seed": 1})
            return [pixels_of(answer)[0] for answer in await asyncio.gather(*calls)], [event async for event in stream]

    files, events = asyncio.run(draw())
    assert files[0] != files[1] and base64.b64decode(events[-1].b64_json) == files[0]


def any_edits_a_picture():
    edit = lambda **parameters: client().images.edit(prompt="a red fox", **{"extra_body": {**FEW, "seed": 4}, **parameters})
    drawn = edit(image=grey(32), mask=grey(32, alpha=0))
    assert pixels_of(drawn) == pixels_of(generate({"seed": 4})), "what is transparent is drawn"
    own = edit(image=half(32))
    assert pixels_of(own) == pixels_of(edit(image=[half(32)], mask=half(32), n=1, size="32x32"))
    assert pixels_of(own) != pixels_of(drawn) and own.data[0].receipt["operation"] == "edit"
    several = edit(image=("a.png", half(32), "image/png"), n=2, response_format="url", output_format="webp", user="x")
    assert [httpx2.get(image.url).content[:4] for image in several.data] == [WEBP] * 2
    refused(openai.BadRequestError, lambda: edit(image=grey(32), mask=grey(16)), "16 x 16 pixels", param="mask")
    refused(openai.BadRequestError, lambda: edit(image=half(32), extra_body={"resample": 51}), "0 to 50", param="resample")
    refused(openai.BadRequestError, lambda: edit(image=grey(32), mask=b""), "0 bytes", param="mask")


def any_streams_an_edit():
    stream = client().images.edit(
        prompt="a red fox", image=half(32), stream=True, partial_images=2, extra_body={**FEW, "steps": 6, "resample": 1}
    )
    *partial, last = stream
    assert [event.type for event in partial] == ["image_edit.partial_image"] * 2, partial
    assert [event.partial_image_index for event in partial] == [0, 1]
    assert last.type == "image_edit.completed" and base64.b64decode(last.b64_json).startswith(PNG)


def any_edits_a_picture_in_json():
    def edit(image, **parameters):
        body = {"prompt": "a red fox", "images": [image], **FEW, "seed": 4, **parameters}
        return httpx2.post(f"{BASE_URL}/images/edits", json=body, timeout=120)

    url = lambda file: {"image_url": "data:image/png;base64," + base64.b64encode(file).decode()}
    answer = edit(url(grey(32)), mask=url(half(32)), moderation="low")
    form = client().images.edit(prompt="a red fox", image=grey(32), mask=half(32), extra_body={**FEW, "seed": 4})
    assert answer.json()["data"][0]["b64_json"] == form.data[0].b64_json, answer.text[:500]
    for image, param in [({"image_url": "https://a.example/b.png"}, "image_url"), ({"file_id": "file-1"}, "file_id")]:
        answer = edit(image)
        assert answer.status_code == 400 and answer.json()["error"]["param"] == f"images[0].{param}", answer.text


def any_varies_a_picture():
    vary = lambda **parameters: client().images.create_variation(
        image=grey(32), **{"extra_body": {"steps": 2, "upsampler_steps": 2, "seed": 6}, **parameters}
    )
    answer = vary(n=2)
    assert len(set(pixels_of(answer))) == 2 and [image.seed for image in answer.data] == [6, 7]
    assert answer.data[0].receipt["operation"] == "vary" and answer.data[0].receipt["image_embedding"]["tensor"]["data"]
    assert vary(model="dall-e-2", size="auto").data[0].url
    extra = {"steps": 2, "upsampler_steps": 2, "seed": 6, "eta": 0, "return_embeddings": True}
    still = vary(extra_body=extra).data[0]
    assert still.embeddings["image"] and still.receipt["stages"][1]["sampler"] == "SAMPLER_DDIM", still.receipt["stages"]
    refused(openai.BadRequestError, lambda: vary(extra_body={"negative_prompt": "a"}), param="negative_prompt")
    refused(openai.BadRequestError, lambda: vary(extra_body={"stream": True}), param="stream")


def any_converts_or_refuses_files():
    steps = {"extra_body": {"steps": 1, "upsampler_steps": 1}}
    for name, file in GOOD_FILES.items():
        answer = client().images.create_variation(image=("a.bin", file, "application/octet-stream"), **steps)
        assert pixels_of(answer)[0].startswith(PNG), name
    for name, (file, text) in BAD_FILES.items():
        named = ("a.png", file, "image/png")
        refused(openai.BadRequestError, lambda: client().images.create_variation(image=named), text, param="image")
        edit = lambda **files: client().images.edit(prompt="a red fox", **files)
        refused(openai.BadRequestError, lambda: edit(image=named), text, param="image")
        refused(openai.BadRequestError, lambda: edit(image=grey(8), mask=named), text, param="mask")


def any_refuses_what_it_cant_honour():
    for param, value in {
        "background": "transparent",
        "size": "5000x5000",
        "output_format": "gif",
        "frame_count": 3,
        "frame_duration_ms": 100,
        "svg": {"model": "a"},
        "n": 17,
        "partial_images": 2,
        "response_format": "file",
    }.items():
        error = refused(openai.BadRequestError, lambda: generate(**{param: value}), param=param, type="invalid_request_error")
        assert error.message.count(param) and error.request_id, error.message
    for param, value in {"seeds": 1, "steps": 0, "guidance": 101, "eta": 2, "prior_mode": "half", "seed": -2, "candidates": 9}.items():
        refused(openai.BadRequestError, lambda: generate({param: value}), param=param)
    refused(openai.BadRequestError, lambda: generate({"num_inference_steps": 1}), "did you mean steps?", code="unknown_parameter")
    refused(openai.BadRequestError, lambda: generate(prompt="a" * 32_001), "at most 32000", param="prompt")


def any_takes_every_model_name_and_lists_its_own():
    models = client().models.list().data
    assert [model.id for model in models] == ["unclip"] and models[0].owned_by == "unclip" and models[0].size == "32x32"
    assert client().models.retrieve("unclip").object == "model"
    refused(openai.NotFoundError, lambda: client().models.retrieve("dall-e-2"), "use `unclip`", code="model_not_found")
    for name in ("dall-e-3", "gpt-image-2.5-flare", "a/b"):
        assert generate(model=name, response_format="b64_json").data


def any_passes_the_request_id_on():
    raw = client().images.with_raw_response.generate(prompt="a red fox", extra_body=FEW, extra_headers={"x-request-id": "mine-1"})
    assert raw.headers["x-request-id"] == "mine-1"
    error = refused(openai.BadRequestError, lambda: generate(n=0), param="n")
    assert len(error.request_id) == 36


def any_times_out_without_repeating():
    calls = []
    http = httpx2.Client(event_hooks={"request": [lambda request: calls.append(request.url)]})
    own = client(max_retries=3, http_client=http)
    call = lambda: own.images.generate(prompt="a red fox", extra_body=MANY, extra_headers={"grpc-timeout": "300m"})
    refused(openai.InternalServerError, call, "deadline", status_code=504, code="deadline_exceeded")
    assert len(calls) == 1, "the same time would run out again"
    short = client(timeout=0.3)
    refused(openai.APITimeoutError, lambda: short.images.generate(prompt="a red fox", extra_body=MANY))


# A server that takes its own model's name alone, behind a proxy


def listed_takes_its_own_model_name_alone():
    assert [model.id for model in client().models.list().data] == ["tiny"]
    assert generate(model="tiny").data
    call = lambda: generate(model="dall-e-2")
    refused(openai.NotFoundError, call, "use `tiny`", code="model_not_found", param="model", type="invalid_request_error")


def listed_addresses_begin_with_the_public_url():
    image = generate(model="tiny", response_format="url").data[0]
    path = image.url.removeprefix("http://pictures.example/unclip/v1")
    assert path != image.url and httpx2.get(BASE_URL + path).content.startswith(PNG)


# A server whose decoder takes one picture and lets one wait


def busy_refuses_and_serves_who_comes_again():
    # The delay that a full stage asks for grows with the steps before it.
    long = {**MANY, "steps": 400}

    async def saturated():
        async with client(openai.AsyncOpenAI) as own:
            draw = lambda **options: own.with_options(**options).images.generate(prompt="a red fox", extra_body=long)
            # A stream begins when its picture is being drawn. Of three more, one waits.
            drawn = await own.images.generate(prompt="a red fox", stream=True, extra_body=long)
            pending = {asyncio.create_task(draw()) for _ in range(3)}
            errors = []
            while len(errors) < 2:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                errors += [task.exception() for task in done]
            for error in errors:
                assert isinstance(error, openai.RateLimitError), error
                assert error.code == "rate_limit_exceeded" and "queue is full" in error.message, error
                assert 1 <= int(error.response.headers["retry-after"]) <= 60
                assert 1000 <= int(error.response.headers["retry-after-ms"]) <= 60_000
            try:
                await own.images.generate(prompt="a red fox", stream=True, extra_body=long)
                raise AssertionError("a stream was begun")
            except openai.RateLimitError as error:
                assert error.code == "rate_limit_exceeded", error
            statuses = []

            async def make_room(response):
                statuses.append(response.status_code)
                await drawn.close()
                for task in pending:
                    task.cancel()

            async with httpx2.AsyncClient(event_hooks={"response": [make_room]}) as http:
                again = client(openai.AsyncOpenAI, max_retries=30, http_client=http)
                answer = await again.images.generate(prompt="a red fox", extra_body=FEW)
            assert statuses[0] == 429 and statuses[-1] == 200 and pixels_of(answer)[0].startswith(PNG), statuses
            await asyncio.gather(*pending, return_exceptions=True)

    asyncio.run(saturated())


def main(functions):
    global BASE_URL
    BASE_URL, group = sys.argv[1:]
    names = [name for name in functions if name.startswith(f"{group}_")]
    for name in names:
        try:
            functions[name]()
        except Exception:
            print(f"{name} failed", file=sys.stderr)
            raise
    print("\n".join(names))


if __name__ == "__main__":
    main(globals())
