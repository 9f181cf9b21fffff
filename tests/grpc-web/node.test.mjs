/** A server as Node.js' clients see it, over every transport. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { createGrpcTransport, createGrpcWebTransport, compressionGzip } from "@connectrpc/connect-node";
import { createGrpcWebTransport as createFetchTransport } from "@connectrpc/connect-web";
import { exercise, gateway } from "./calls.js";
import { check } from "./expected.mjs";

const baseUrl = process.env.UNCLIP_URL;
assert.ok(baseUrl, "UNCLIP_URL: missing; cargo test --test grpc_web sets it");
const contracts = await readFile(process.env.UNCLIP_CONTRACTS);

/** Small messages are compressed too. */
const gzip = { sendCompression: compressionGzip, acceptCompression: [compressionGzip], compressMinBytes: 0 };

const transports = {
  "gRPC-Web by fetch": createFetchTransport({ baseUrl }),
  "gRPC-Web, HTTP/1.1": createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
  "gRPC-Web, HTTP/2": createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
  "gRPC-Web, gzip": createGrpcWebTransport({ baseUrl, httpVersion: "1.1", ...gzip }),
  "gRPC": createGrpcTransport({ baseUrl }),
  "gRPC, gzip": createGrpcTransport({ baseUrl, ...gzip }),
};

for (const [name, transport] of Object.entries(transports)) {
  test(name, async () => check(await exercise(gateway(contracts, transport))));
}
