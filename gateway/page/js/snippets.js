/** A call as text: for a shell, and for Python without any package. */

import { urlOf } from "./api.js";

/** JSON that can stand in a here-document and in Python's raw strings alike. */
const literal = (request) => JSON.stringify(request).replaceAll("'", "\\u0027");

/** A POSIX shell command that writes the picture to `file`. */
export function curl({ method, request }, file) {
  return `curl -sSf ${urlOf(method)} \\
  -H 'content-type: application/json' --data-binary @- <<'JSON' \\
  | tail -n 1 | sed 's/.*"image":"\\([^"]*\\)".*/\\1/' | base64 --decode > ${file}
${literal(request)}
JSON
`;
}

/** A Python script that does the same. */
export function python({ method, request }, file) {
  return `import base64, json, urllib.request

request = json.loads(r'''${literal(request)}''')
call = urllib.request.Request(
    "${urlOf(method)}",
    data=json.dumps(request).encode(),
    headers={"content-type": "application/json"},
)
with urllib.request.urlopen(call) as answer:
    for line in answer:
        message = json.loads(line)
        if "error" in message:
            raise SystemExit(message["error"]["message"])
        if "image" in message:
            with open("${file}", "wb") as picture:
                picture.write(base64.b64decode(message["image"]["image"]))
`;
}

/** A name for a picture's files, without an ending. */
export function fileName(slot, frame) {
  const words = slot.title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 60);
  const seed = frame.receipt ? `-${frame.receipt.seed ?? 0}` : "";
  const at = slot.count > 1 ? `-${slot.current + 1}` : "";
  return `${words || "picture"}${seed}${at}`;
}
