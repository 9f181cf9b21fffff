/** Keys, small screens, dark and light, and who is asked for what. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { draw, fewSteps, launch, openFirst, shown, tool, URL_OF_PAGE, visit } from "./browser.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** Texts whose contrast with what lies behind them is less than WCAG's 4.5. */
const faintTexts = (page) => page.evaluate(() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (layers) => {
    context.clearRect(0, 0, 1, 1);
    for (const layer of layers) {
      context.fillStyle = layer;
      context.fillRect(0, 0, 1, 1);
    }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => rgb.map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
  const texts = [...document.querySelectorAll("body *")].filter((element) =>
    element.checkVisibility() && !element.closest(".visually-hidden, :disabled, .badge, option") &&
    ([...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) || element.matches("input, textarea")));
  return texts.flatMap((element) => {
    const behind = [];
    for (let at = element; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
    const colours = [getComputedStyle(element).color];
    if (element.placeholder) colours.push(getComputedStyle(element, "::placeholder").color);
    return colours.map((colour) => {
      const [light, dark] = [luminance(over(behind)), luminance(over([...behind, colour]))].sort((a, b) => b - a);
      return { text: element.textContent.trim().slice(0, 40) || element.name, ratio: (light + 0.05) / (dark + 0.05) };
    }).filter(({ ratio }) => ratio < 4.5);
  });
});

for (const colorScheme of ["light", "dark"]) {
  test(`every text can be read, ${colorScheme}`, async () => {
    const { page, close } = await visit(browser, { colorScheme });
    await fewSteps(page);
    await page.locator("#draw [name=n]").fill("0");
    await page.locator("#prompt").press("Enter");
    await page.locator("#draw .error").waitFor();
    assert.deepEqual(await faintTexts(page), []);
    await draw(page);
    await openFirst(page);
    for (const name of ["vary", "interpolate", "diff", "edit", "classify", "receipt", "call"]) {
      await tool(page, name);
      assert.deepEqual(await faintTexts(page), [], name);
    }
    const [light, dark] = ["light", "dark"].map((name) => (name === colorScheme ? 1 : 0));
    const paper = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    assert.equal(paper.match(/\d+/)[0] > 127, light > dark, paper);
    await close({ refused: 1 });
  });
}

test("a phone shows everything without scrolling sideways", async () => {
  const { page, close } = await visit(browser, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  const width = () => page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.querySelector("#viewer").scrollWidth));
  assert.ok((await width()) <= 360, "at first");
  await fewSteps(page);
  assert.ok((await width()) <= 360, "with options");
  await draw(page, { prompt: `red ${"heart".repeat(30)}`, n: 2 });
  assert.ok((await width()) <= 360, "with pictures");
  await page.locator(".card-open").first().tap();
  for (const name of ["vary", "interpolate", "diff", "edit", "classify", "receipt", "call"]) {
    await tool(page, name);
    assert.ok((await width()) <= 360, name);
  }
  // A finger paints.
  await tool(page, "edit");
  await page.locator("#mask").tap();
  const painted = await page.locator("#mask").evaluate((canvas) =>
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0));
  assert.ok(painted);
  await close();
});

test("keys are enough", async () => {
  const { page, close } = await visit(browser);
  assert.equal(await page.evaluate(() => document.activeElement.id), "prompt", "the prompt has the focus");
  await fewSteps(page);
  await page.locator("#draw [name=n]").fill("3");
  await page.locator("#draw [name=seed]").fill("1");
  await page.locator("#draw [name=seed]").press("Tab");
  await page.keyboard.press("/");
  await page.keyboard.type("red heart");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".card.done").length === 3);
  const focused = () => page.evaluate(() =>
    [...document.querySelectorAll(".card-open")].indexOf(document.activeElement));
  for (let tabs = 0; (await focused()) < 0; tabs++) {
    assert.ok(tabs < 30, "Tab reaches the gallery");
    await page.keyboard.press("Tab");
  }
  assert.equal(await focused(), 0);
  for (const [key, at] of [["ArrowRight", 1], ["End", 2], ["ArrowRight", 2], ["ArrowLeft", 1]]) {
    await page.keyboard.press(key);
    assert.equal(await focused(), at, key);
  }
  const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(ring, "solid", "the focus is seen");
  await page.keyboard.press("Enter");
  await shown(page, "red heart");
  assert.match(await page.locator("#viewer-note").textContent(), /seed 2/);
  await page.keyboard.press("ArrowRight");
  await page.locator("#viewer-note", { hasText: "seed 3" }).waitFor();
  await page.keyboard.press("z");
  assert.equal(await page.locator('[data-do="zoom"]').textContent(), "Zoom: 2×");
  assert.equal((await page.locator("#viewer-image").boundingBox()).width, 256);
  await page.keyboard.press("Escape");
  // The focus goes to where the viewer was left.
  await page.waitForFunction(() => document.activeElement === document.querySelectorAll(".card-open")[2]);
  await close();
});

test("every control has a name", async () => {
  const { page, close } = await visit(browser);
  await fewSteps(page);
  await draw(page);
  const nameless = () => page.locator("button:visible, input:visible, select:visible, textarea:visible, a:visible").evaluateAll((all) =>
    all.filter((one) => !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim())).map((one) => one.outerHTML));
  assert.deepEqual(await nameless(), []);
  await openFirst(page);
  for (const name of ["vary", "interpolate", "diff", "edit", "classify", "call"]) {
    await tool(page, name);
    assert.deepEqual(await nameless(), [], name);
  }
  await close();
});

test("a copy that is the same is not sent again", async () => {
  const first = await fetch(URL_OF_PAGE);
  assert.match(first.headers.get("content-security-policy"), /default-src 'none'/);
  const again = await fetch(URL_OF_PAGE, { headers: { "if-none-match": first.headers.get("etag") } });
  assert.equal(again.status, 304);
  assert.equal((await fetch(new URL("/page/js/none.js", URL_OF_PAGE))).status, 404);
});
