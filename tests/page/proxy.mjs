/** A small reverse proxy that has a server below a path, as operators have it. */
import { createServer, request } from "node:http";

/**
 * Serves `target` below `prefix`, with and without a slash at its end. It takes the path off, unless told to keep it, and sends
 * `headers` along.
 */
export async function proxy(target, prefix, { keep = false, headers = {} } = {}) {
  const server = createServer((incoming, outgoing) => {
    if (incoming.url !== prefix && !incoming.url.startsWith(`${prefix}/`)) {
      outgoing.writeHead(404).end("outside the path\n");
      return;
    }
    const path = keep ? incoming.url : incoming.url.slice(prefix.length) || "/";
    const options = { method: incoming.method, headers: { ...incoming.headers, ...headers } };
    const inner = request(new URL(path, target), options, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    inner.on("error", () => outgoing.destroy());
    outgoing.on("close", () => inner.destroy());
    incoming.pipe(inner);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${server.address().port}${prefix}`, close: () => server.closeAllConnections() ?? server.close() };
}
