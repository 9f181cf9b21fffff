/** What runs in the browser. */
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { exercise, gateway } from "./calls.js";

const transports = { "gRPC-Web": createGrpcWebTransport };

export const kinds = Object.keys(transports);

/** Exercises the server that the page came from. */
export function run(kind, contracts) {
  const transport = transports[kind]({ baseUrl: new URL(".", location.href).href });
  return exercise(gateway(new Uint8Array(contracts), transport));
}
