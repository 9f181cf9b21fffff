// Node.js packages that draw with OpenAI's Images API, each by its own image calls with its own defaults.
//
// usage: node sdks.mjs BASE_URL
//
// Prints, as JSON, a list of {client, version, operations: {operation: "yes" or what failed}}.

import { readFileSync } from "node:fs";
import { deflateSync, crc32 } from "node:zlib";
import { createOpenAI } from "@ai-sdk/openai";
import { DallEAPIWrapper } from "@langchain/openai";
import { generateImage } from "ai";
import OpenAI, { toFile } from "openai";

const baseURL = process.argv[2];
const apiKey = "not looked at";
const prompt = "a red fox";

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** A PNG file of one colour, whose left half has another alpha. */
function png(side, alpha) {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  head.set([8, 6, 0, 0, 0], 8);
  const row = [0, ...Array.from({ length: side }, (_, x) => [90, 120, 150, x < side / 2 ? alpha : 255]).flat()];
  const rows = Buffer.from(Array.from({ length: side }, () => row).flat());
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

const opaque = png(64, 255);
const half = png(64, 0);

async function drawn(picture, size) {
  const isUrl = typeof picture === "string" && picture.startsWith("http");
  const file = isUrl ? Buffer.from(await (await fetch(picture)).arrayBuffer()) : Buffer.from(picture, "base64");
  const found = [file.readUInt32BE(16), file.readUInt32BE(20)].join("x");
  if (file.toString("latin1", 1, 4) !== "PNG") throw new Error("no PNG file");
  if (size && found !== size) throw new Error(`${found} instead of ${size}`);
}

async function ofAnswer(answer, size) {
  for (const image of answer.data) await drawn(image.url ?? image.b64_json, size);
}

function official() {
  const client = new OpenAI({ apiKey, baseURL });
  const file = (content) => toFile(content, "a.png", { type: "image/png" });
  return {
    generations: async () =>
      ofAnswer(await client.images.generate({ prompt, size: "1024x1024", quality: "hd", style: "vivid" }), "1024x1024"),
    streams: async () => {
      const types = [];
      const stream = await client.images.generate({ model: "gpt-image-1", prompt, stream: true, partial_images: 1 });
      for await (const event of stream) {
        types.push(event.type);
        await drawn(event.b64_json);
      }
      const expected = "image_generation.partial_image,image_generation.completed";
      if (types.join() !== expected) throw new Error(types.join());
    },
    edits: async () => ofAnswer(await client.images.edit({ image: await file(half), mask: await file(half), prompt })),
    "edits without a mask": async () => ofAnswer(await client.images.edit({ image: await file(opaque), prompt })),
    variations: async () =>
      ofAnswer(await client.images.createVariation({ image: await file(opaque), size: "256x256" }), "256x256"),
    models: async () => (await client.models.list()).data[0].id,
  };
}

function langchain() {
  const tool = new DallEAPIWrapper({ apiKey, baseUrl: baseURL });
  return { generations: async () => drawn(await tool.invoke(prompt), "1024x1024") };
}

function vercel() {
  const model = createOpenAI({ apiKey, baseURL }).image("gpt-image-1");
  const call = async (prompt, size) => drawn((await generateImage({ model, prompt, size })).image.base64, size);
  return {
    generations: async () => call(prompt, "1024x1024"),
    edits: async () => call({ text: prompt, images: [half], mask: half }),
    "edits without a mask": async () => call({ text: prompt, images: [opaque] }, "1024x1024"),
  };
}

/** The version that is installed, whatever the package exports. */
function version(name) {
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;
}

async function run(call) {
  try {
    await call();
    return "yes";
  } catch (error) {
    return `no: ${error}`;
  }
}

const clients = [
  ["openai (npm)", "openai", official],
  ["LangChain (npm)", "@langchain/openai", langchain],
  ["Vercel AI SDK", "ai", vercel],
];

const rows = [];
for (const [client, name, operations] of clients) {
  const found = {};
  for (const [operation, call] of Object.entries(operations())) found[operation] = await run(call);
  rows.push({ client, version: version(name), operations: found });
}
console.log(JSON.stringify(rows));
