/** Drawing: progress, previews, seeds, cancelling, and what the server refuses. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { distance, draw, fewSteps, launch, openFirst, pixels, visit } from "./browser.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

test("pictures are drawn with progress and previews", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page, { decoder: 4 });
  await page.evaluate(() => {
    window.seen = { previews: new Set(), progress: new Set() };
    new MutationObserver(() => {
      for (const image of document.querySelectorAll(".card.running img")) seen.previews.add(image.src);
      for (const text of document.querySelectorAll(".card.running .card-name span:last-child")) seen.progress.add(text.textContent);
    }).observe(document.querySelector("#gallery"), { subtree: true, childList: true, attributes: true, characterData: true });
  });
  await draw(page, { n: 2 });
  const seen = await page.evaluate(() => ({ previews: window.seen.previews.size, progress: [...window.seen.progress] }));
  assert.ok(seen.previews >= 2, `previews: ${seen.previews}`);
  for (const stage of ["decoder 4/4", "upsampler 1/1"]) assert.ok(seen.progress.includes(stage), `${stage}: ${seen.progress}`);
  assert.equal(await page.locator("#welcome").isVisible(), false);
  assert.deepEqual(await page.locator(".card-name span:last-child").allTextContents(), ["seed 7", "seed 8"]);
  assert.equal(await page.locator("#said").textContent(), "2 pictures drawn");
  await close();
});

test("a seed is a picture, and no seed is another", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page, { seed: "8" });
  await draw(page, { seed: "8" });
  await draw(page, { seed: "7", n: 2 });
  await draw(page, { seed: "" });
  const [unseeded, first, second, again, alone] = await Promise.all((await page.locator(".card img").all()).map(pixels));
  assert.ok(distance(again, alone) === 0, "the same request gives the same picture");
  assert.ok(distance(second, alone) < 0.5, `picture 2 of seed 7 is that of seed 8: ${distance(second, alone)}`);
  assert.ok(distance(first, second) > 2, `${distance(first, second)}`);
  assert.ok(distance(unseeded, first) > 2, `${distance(unseeded, first)}`);
  await close();
});

test("a running request can be cancelled", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page, { decoder: 1000 });
  await page.locator("#prompt").fill("red heart");
  await page.locator("#prompt").press("Enter");
  await page.locator(".card.running").nth(3).waitFor();
  await page.locator(".card.running .cancel").first().click();
  await page.waitForFunction(() => !document.querySelector(".card"));
  assert.equal(await page.locator("#said").textContent(), "Cancelled");
  // The server is free again: a thousand steps would not end in the time of this test.
  await page.getByRole("group", { name: "Decoder" }).getByLabel("Steps").fill("2");
  await draw(page);
  await close();
});

test("what the server refuses is shown in its words, and nothing is lost", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  const error = page.locator("#draw .error");
  for (const [field, value, message] of [
    ["n", "17", "n: 17 is out of range, it must be from 1 to 16"],
    ["seed", "abc", "seed: "],
    ["decoderSteps", "1001", "decoder.steps: 1001 is out of range, it must be from 1 to 1000"],
    ["decoderEta", "0.5", "decoder.eta: "],
  ]) {
    const input = page.locator(`#draw [name=${field}]`);
    const kept = await input.inputValue();
    await page.locator("#prompt").fill("red heart");
    await input.fill(value);
    await page.locator("#prompt").press("Enter");
    await page.waitForFunction((start) => document.querySelector("#draw .error").textContent.startsWith(start), message);
    assert.ok(await error.isVisible());
    assert.equal(await page.locator("#prompt").inputValue(), "red heart");
    assert.equal(await page.locator(".card").count(), 0);
    await input.fill(kept);
  }
  await draw(page);
  assert.equal(await error.isVisible(), false);
  await close({ refused: 4 });
});

test("a server that is gone is said", async () => {
  const { page, close } = await visit(browser);
  await page.route("**/GenerateImage", (route) => route.abort());
  await page.locator("#prompt").press("Enter");
  await page.locator("#draw .error", { hasText: "The server can't be reached" }).waitFor();
  await close({ refused: 1 });
});

test("a failure in the middle is shown where the picture would be", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page, { decoder: 1000 });
  // A deadline that passes while the decoder draws.
  await page.route("**/GenerateImage", (route) =>
    route.continue({ headers: { ...route.request().headers(), "grpc-timeout": "1S" } }));
  await page.locator("#prompt").fill("red heart");
  await page.locator("#draw [name=n]").fill("1");
  await page.locator("#prompt").press("Enter");
  await page.locator(".card.failed", { hasText: "the deadline passed in the" }).waitFor();
  await page.locator(".card .cancel", { hasText: "Remove" }).click();
  assert.equal(await page.locator(".card").count(), 0);
  assert.ok(await page.locator("#welcome").isVisible());
  await close();
});

test("settings of a picture can be used again", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page, { prompt: "cat face" });
  await page.locator("#prompt").fill("something else");
  await openFirst(page);
  await page.locator('[data-do="reuse"]').click();
  await draw(page, { prompt: await page.locator("#prompt").inputValue(), seed: await page.locator("#draw [name=seed]").inputValue() });
  const [again, first] = await Promise.all((await page.locator(".card img").all()).map(pixels));
  assert.equal(distance(again, first), 0);
  await close();
});
