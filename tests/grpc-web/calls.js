/** What a client of any transport must be able to do. Runs in Node.js and in a browser. */
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";

const FEW = { steps: 2 };
const GOOD = { prompt: "red heart", seed: 7n, prior: FEW, decoder: FEW, upsampler: { steps: 1 } };

/** A client of the gateway, from the contracts as bytes. */
export function gateway(contracts, transport) {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, contracts));
  return createClient(registry.getService("unclip.v1.UnclipService"), transport);
}

/** One call of every kind. What it gives can be sent out of a browser. */
export async function exercise(client) {
  const { models } = await client.listModels({});
  const picture = await draw(client, GOOD);
  return {
    stages: models.map(({ stage }) => stage),
    picture,
    refused: await refusal(draw(client, { ...GOOD, n: 1000 })),
    refusedInStream: await refusal(draw(client, { ...GOOD, imageEmbedding: { dtype: 1, shape: [1], data: new Uint8Array(4) } })),
    tooLate: await refusal(draw(client, { ...GOOD, decoder: { steps: 1000 } }, { timeoutMs: 500 })),
    left: await leave(client),
  };
}

/** Draws; what came over the stream. */
async function draw(client, request, options) {
  let progress = 0;
  let image;
  for await (const { event } of client.generateImage(request, options)) {
    if (event.case === "progress") progress += 1;
    if (event.case === "image") image = event.value;
  }
  return { progress, width: image.width, seed: String(image.receipt.seed), begins: [...image.image.slice(0, 4)] };
}

/** What a call is refused with. */
async function refusal(call) {
  try {
    await call;
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    return { code: Code[code], message: rawMessage };
  }
  throw new Error("it was not refused");
}

/** Begins a long drawing and leaves it at its first message. */
async function leave(client) {
  const controller = new AbortController();
  return refusal((async () => {
    const stream = client.generateImage({ ...GOOD, decoder: { steps: 1000 } }, { signal: controller.signal });
    for await (const _ of stream) controller.abort();
  })());
}
