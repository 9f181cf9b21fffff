/** What every transport must see. */
import assert from "node:assert/strict";

/** Checks what `exercise` gave. */
export function check({ stages, picture, refused, refusedInStream, tooLate, left }) {
  assert.deepEqual(stages, ["text-encoder", "prior", "decoder", "upsampler"]);
  assert.ok(picture.progress > 0);
  assert.deepEqual([picture.seed, picture.begins], ["7", [0x89, 0x50, 0x4e, 0x47]]);
  assert.equal(refused.code, "InvalidArgument");
  assert.match(refused.message, /^n: /);
  assert.equal(refusedInStream.code, "InvalidArgument");
  assert.match(refusedInStream.message, /^image_embedding/);
  assert.equal(tooLate.code, "DeadlineExceeded");
  assert.equal(left.code, "Canceled");
}
