/** A real browser on the real page. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

/** Where the server under test is. */
export const URL_OF_PAGE = process.env.UNCLIP_PAGE_URL;
assert.ok(URL_OF_PAGE, "UNCLIP_PAGE_URL: missing; cargo test --test page sets it");

/** Far above what is needed, for machines that are busy. */
export const PATIENCE = 90_000;

/** Debian's browser; it has no sandbox as root, in a container. */
export async function launch(flags = []) {
  const executablePath = execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim();
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", ...flags] });
}

/**
 * Opens the page, at `url` if it is elsewhere, in a browser context of its own. `close` asserts what holds for every test: nothing was asked of anybody
 * else, and nothing was written to the console but what `refused` statuses write there.
 */
export async function visit(browser, { url = URL_OF_PAGE, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, acceptDownloads: true, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(url).origin });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const [foreign, complaints] = [[], []];
  page.on("request", (request) => {
    const { protocol, origin } = new URL(request.url());
    if (!["blob:", "data:"].includes(protocol) && origin !== new URL(url).origin) foreign.push(request.url());
  });
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(url);
  const close = async ({ refused = 0 } = {}) => {
    await context.close();
    const refusals = complaints.filter((text) => text.startsWith("Failed to load resource"));
    assert.deepEqual(complaints.filter((text) => !refusals.includes(text)), [], "the console is quiet");
    assert.equal(refusals.length, refused, `refused requests: ${refusals}`);
    assert.deepEqual(foreign, [], "nothing is asked of anybody else");
  };
  return { page, close };
}

/** Few steps: a test looks at the page, not at the pictures. */
export async function fewSteps(page, { decoder = 2 } = {}) {
  await page.locator(".options > summary").click();
  await page.getByRole("group", { name: "Prior" }).getByLabel("Steps").fill("2");
  await page.getByRole("group", { name: "Decoder" }).getByLabel("Steps").fill(String(decoder));
  await page.getByRole("group", { name: "Upsampler" }).getByLabel("Steps").fill("1");
}

/** Draws and waits for all pictures. */
export async function draw(page, { prompt = "red heart", seed = "7", n = 1 } = {}) {
  const before = await page.locator(".card").count();
  await page.locator("#draw [name=n]").fill(String(n));
  await page.locator("#draw [name=seed]").fill(seed);
  await page.locator("#prompt").fill(prompt);
  await page.locator("#prompt").press("Enter");
  await page.waitForFunction((count) => document.querySelectorAll(".card.done").length === count, before + n);
}

/** The first card's viewer. */
export async function openFirst(page) {
  await page.locator(".card-open").first().click();
  await page.locator("#viewer[open]").waitFor();
}

/** Opens a tool in the viewer: its part of the page. */
export async function tool(page, name) {
  const part = page.locator(`[data-tool="${name}"]`);
  if ((await part.getAttribute("open")) === null) await part.locator("summary").click();
  return part;
}

/** Waits until what the viewer shows is finished. */
export async function shown(page, title) {
  await page.locator("#viewer-title", { hasText: title }).waitFor();
  await page.locator("#tools").waitFor({ state: "visible" });
}

/** Clicks a download and gives the file. */
export async function download(page, name = "picture") {
  const [file] = await Promise.all([page.waitForEvent("download"), page.locator(`[data-do="${name}"]`).click()]);
  return { name: file.suggestedFilename(), bytes: await readFile(await file.path()) };
}

/** Pixels of a picture file, as [`pixels`] gives them. */
export async function filePixels(page, bytes) {
  const image = await page.evaluateHandle((url) => Object.assign(new Image(), { src: url }),
    `data:image/png;base64,${bytes.toString("base64")}`);
  return pixels(image);
}

/** The mean difference of two pictures' values, of 255. Rows of a batch are summed in another order than one alone. */
export function distance(a, b) {
  assert.equal(a.length, b.length);
  return a.reduce((sum, value, at) => sum + Math.abs(value - b[at]), 0) / a.length;
}

/** Pixels of a picture that the page shows, as RGBA numbers at the picture's own size. */
export async function pixels(locator) {
  return locator.evaluate(async (image) => {
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
  });
}
