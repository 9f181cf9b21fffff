/** Downloads, receipts, and calls that make a picture again. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { distance, download, draw, fewSteps, filePixels, launch, openFirst, pixels, shown, tool, visit } from "./browser.mjs";

const run = promisify(execFile);
let browser, folder;
before(async () => {
  browser = await launch();
  folder = await mkdtemp(join(tmpdir(), "unclip-page-"));
});
after(async () => {
  await browser.close();
  await rm(folder, { recursive: true });
});

/** Runs a copied call and gives the picture that it wrote. */
async function copied(page, kind, program) {
  const part = await tool(page, "call");
  await part.locator(`[data-copy="${kind}"]`).click();
  await part.locator("textarea").waitFor();
  const text = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(text, await part.locator("textarea").inputValue());
  await run(program, ["-c", text], { cwd: folder });
  return readFile(join(folder, text.match(/[\p{L}\p{N}-]+\.png/u)[0]));
}

test("a picture is downloaded with its receipt", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page, { prompt: "cat face", seed: "18446744073709550000" });
  await openFirst(page);
  const picture = await download(page, "picture");
  assert.equal(picture.name, "cat-face-18446744073709550000.png");
  assert.equal(picture.bytes.subarray(1, 4).toString(), "PNG");
  const receipt = await download(page, "receipt");
  assert.equal(receipt.name, "cat-face-18446744073709550000.json");
  const { prompt, seed, stages } = JSON.parse(receipt.bytes);
  assert.deepEqual([prompt, seed], ["cat face", "18446744073709550000"]);
  assert.deepEqual(stages.map(({ stage, steps }) => [stage, steps]), [
    ["STAGE_TEXT_ENCODER", undefined], ["STAGE_PRIOR", 2], ["STAGE_DECODER", 2], ["STAGE_UPSAMPLER", 1],
  ]);
  assert.ok(stages.every(({ modelFingerprint }) => /^[0-9a-f]{32}$/.test(modelFingerprint)));
  const made = await tool(page, "receipt");
  assert.match(await made.textContent(), /Seed18446744073709550000.*2 steps, unCLIP, guidance 3/s);
  await close();
});

test("a copied call makes the same picture", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  // Quotes of all kinds have to survive the shell and Python.
  await draw(page, { prompt: `a "red" heart's '''\\n $HOME \`x\`` });
  await openFirst(page);
  const expected = (await download(page)).bytes;
  assert.deepEqual(await copied(page, "curl", "sh"), expected);
  assert.deepEqual(await copied(page, "python", "python3"), expected);
  await close();
});

test("so do the calls of a variation, a frame and an edit", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page);
  await openFirst(page);
  const tries = [
    ["vary", "Vary", "red heart, varied", { Pictures: "1", Steps: "2" }],
    ["diff", "Change", "red heart → blue heart", { Frames: "2", Steps: "2", From: "red heart", To: "blue heart" }],
    ["edit", "Repaint", "a star", { Pictures: "1", Steps: "2", "What the whole picture then shows": "a star" }],
  ];
  for (const [name, button, title, fields] of tries) {
    const part = await tool(page, name);
    for (const [label, value] of Object.entries(fields)) await part.getByLabel(label, { exact: true }).fill(value);
    if (name === "edit") await page.locator("#mask").press("Space");
    await part.getByRole("button", { name: button }).click();
    await shown(page, title);
    await page.waitForFunction(() => !document.querySelector(".card.running"));
    const expected = await pixels(page.locator("#viewer-image"));
    const made = await filePixels(page, await copied(page, "curl", "sh"));
    assert.ok(distance(made, expected) < 0.5, `${title}: ${distance(made, expected)}`);
    await page.keyboard.press("Escape");
    await page.locator(".card-open").last().click();
  }
  await close();
});
