/** The page below a path, behind a reverse proxy. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { draw, fewSteps, launch, openFirst, tool, visit } from "./browser.mjs";
import { proxy } from "./proxy.mjs";

/** One server was told its public address, which ends in /draw/; the other trusts its proxy. */
const { UNCLIP_PUBLIC_URL: TOLD, UNCLIP_TRUSTING_URL: TRUSTING } = process.env;
assert.ok(TOLD && TRUSTING, "UNCLIP_PUBLIC_URL, UNCLIP_TRUSTING_URL: missing; cargo test --test page sets them");
const FORWARDED = { "x-forwarded-prefix": "/draw", "x-forwarded-proto": "https", "x-forwarded-host": "pictures.example" };

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

for (const [name, target, options] of [
  ["the server knows its address, the proxy takes the path off", TOLD, {}],
  ["the server knows its address, the proxy leaves the path on", TOLD, { keep: true }],
  ["the server hears of the path from the proxy", TRUSTING, { headers: FORWARDED }],
  ["nobody says anything, but the address ends in a slash", TRUSTING, { slashOnly: true }],
]) {
  test(`the page is whole: ${name}`, async () => {
    const at = await proxy(target, "/draw", options);
    for (const end of options.slashOnly ? ["/"] : ["/", ""]) {
      const { page, close } = await visit(browser, { url: at.url + end });
      await fewSteps(page);
      await draw(page);
      await openFirst(page);
      const part = await tool(page, "call");
      await part.locator('[data-copy="curl"]').click();
      const call = await part.locator("textarea").inputValue();
      assert.match(call, new RegExp(`curl -sSf ${at.url}/api/unclip`), "the copied call goes where the page is");
      assert.ok(await page.evaluate(() => document.querySelector(".wordmark img").naturalWidth > 0), "the icon is there");
      await close();
    }
    at.close();
  });
}

test("addresses of pictures begin where the client is", async () => {
  for (const [target, options, begins] of [
    [TOLD, {}, "https://pictures.example/draw/v1/images/files/"],
    [TRUSTING, { headers: FORWARDED }, "https://pictures.example/draw/v1/images/files/"],
  ]) {
    const at = await proxy(target, "/draw", options);
    const body = JSON.stringify({ prompt: "a fox", response_format: "url", steps: 2, prior_steps: 2, upsampler_steps: 1 });
    const init = { method: "POST", headers: { "content-type": "application/json" }, body };
    const answer = await (await fetch(`${at.url}/v1/images/generations`, init)).json();
    const { url } = answer.data[0];
    assert.ok(url.startsWith(begins), url);
    const file = await fetch(url.replace("https://pictures.example/draw", at.url));
    assert.equal(file.headers.get("content-type"), "image/png");
    assert.deepEqual([...new Uint8Array(await file.arrayBuffer()).slice(1, 4)], [0x50, 0x4e, 0x47]);
    at.close();
  }
});
