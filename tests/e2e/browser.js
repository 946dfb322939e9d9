// The official client for browsers, run by Node: what a page would do with it. A line of JSON for each event.
// Start it under a name that does not begin with "node": Go takes that for a place without a network.
//   exec -a page node browser.js wasm_exec.js client.wasm SERVER_URL AUTH_KEY HOSTNAME [URL]
// It joins, and fetches URL of another machine through the tailnet, over and over until there is an answer.
"use strict";
const fs = require("fs");
const [exec, wasm, controlURL, authKey, hostname, url] = process.argv.slice(2);
const say = (event, data) => fs.writeSync(1, JSON.stringify({ event, data }) + "\n");

// No globalThis.fs: files answer later, and a page has none that the client could wait for.
if (!globalThis.crypto) globalThis.crypto = require("crypto").webcrypto;
require(exec);

let running = false;
const go = new Go();
go.env = { TMPDIR: require("os").tmpdir() };
WebAssembly.instantiate(fs.readFileSync(wasm), go.importObject).then(async ({ instance }) => {
    const ended = go.run(instance);
    while (!globalThis.newIPN) await new Promise((done) => setTimeout(done, 50));
    const storage = new Map();
    const ipn = newIPN({
        controlURL, authKey, hostname,
        stateStorage: { setState: (id, value) => storage.set(id, value), getState: (id) => storage.get(id) ?? "" },
    });
    ipn.run({
        notifyState: (state) => {
            say("state", state);
            if (state === "NeedsLogin") ipn.login();
            if (state === "Running" && !running) {
                running = true;
                if (url) fetchUntilThere(ipn);
            }
        },
        notifyNetMap: (text) => {
            const map = JSON.parse(text);
            say("netmap", { self: map.self.name, addresses: map.self.addresses, peers: map.peers.map((p) => p.name) });
        },
        notifyBrowseToURL: (to) => say("browse", to),
        notifyPanicRecover: (why) => say("panic", why),
    });
    await ended;
}).catch((error) => { say("error", String(error)); process.exit(1); });

async function fetchUntilThere(ipn) {
    for (;;) {
        try {
            const answer = await ipn.fetch(url);
            say("fetched", { status: answer.status, text: await answer.text() });
            return;
        } catch (error) {
            say("not yet", String(error));
            await new Promise((done) => setTimeout(done, 500));
        }
    }
}
