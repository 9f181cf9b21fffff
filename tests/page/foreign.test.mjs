/** What a page of another site can do to a server on the user's own machine, in a real browser: nothing. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launch, PATIENCE, URL_OF_PAGE } from "./browser.mjs";

/** Whether the server was started with `--allow-origin *`. */
const IS_ALLOWED = process.env.UNCLIP_FOREIGN === "allowed";
const SITE = "evil.example";
const server = new URL(URL_OF_PAGE);
const LIST = "unclip.v1.UnclipService/ListModels";

let browser, site, page;

before(async () => {
  // The foreign site's name leads to this machine, as after DNS rebinding.
  browser = await launch([`--host-resolver-rules=MAP ${SITE} 127.0.0.1`]);
  site = createServer((_, response) => response.setHeader("content-type", "text/html").end("<title>foreign</title>"));
  await new Promise((ready) => site.listen(0, "127.0.0.1", ready));
});

// A page each: one that submitted a form is still on its way to the answer.
beforeEach(async () => {
  page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
});

afterEach(() => page.close());

after(async () => {
  await browser.close();
  site.close();
});

const visitSite = () => page.goto(`http://${SITE}:${site.address().port}/`);

/** Sends a request from the page and gives the status that the server answered, whatever the page may see of it. */
async function answered(url, send) {
  const [response] = await Promise.all([page.waitForResponse((response) => response.url() === url), send()]);
  return response.status();
}

/** What the page itself reads of a JSON call: the status, or that the browser forbids it. */
const readsJson = (url) => page.evaluate(async (url) => {
  const call = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
  return fetch(url, call).then(async (answer) => `${answer.status} ${Object.keys(await answer.json())}`, () => "forbidden");
}, url);

test("the own page is served", async () => {
  await page.goto(URL_OF_PAGE);
  assert.equal(await readsJson(new URL(`/api/${LIST}`, server).href), "200 models");
});

test("a text that is a gRPC frame", async () => {
  await visitSite();
  const url = new URL(`/${LIST}`, server).href;
  const send = () => page.evaluate((url) => fetch(url, {
    method: "POST", mode: "no-cors", headers: { "content-type": "text/plain" }, body: new Uint8Array(5),
  }).then(() => {}), url);
  assert.equal(await answered(url, send), IS_ALLOWED ? 415 : 403);
});

test("a form with a picture", async () => {
  await visitSite();
  const url = new URL("/v1/images/variations", server).href;
  const submit = () => page.evaluate((action) => {
    const form = Object.assign(document.createElement("form"), { action, method: "post", enctype: "multipart/form-data" });
    const file = Object.assign(document.createElement("input"), { type: "file", name: "image" });
    const files = new DataTransfer();
    files.items.add(new File(["no picture"], "a.png"));
    file.files = files.files;
    form.append(file);
    document.body.append(form);
    form.submit();
  }, url);
  assert.equal(await answered(url, submit), IS_ALLOWED ? 400 : 403);
});

test("a JSON call", async () => {
  await visitSite();
  const found = await readsJson(new URL(`/api/${LIST}`, server).href);
  assert.equal(found, IS_ALLOWED ? "200 models" : "forbidden");
});

test("the server by the site's own name", async () => {
  const answer = await page.goto(`http://${SITE}:${server.port}/`);
  assert.equal(answer.status(), 403);
  assert.equal(await readsJson(`http://${SITE}:${server.port}/api/${LIST}`), "403 error");
});

test("a link is followed", async () => {
  await visitSite();
  await page.evaluate((href) => {
    document.body.append(Object.assign(document.createElement("a"), { href, textContent: "draw" }));
  }, URL_OF_PAGE);
  await page.getByText("draw").click();
  await page.locator("#prompt").waitFor();
});
