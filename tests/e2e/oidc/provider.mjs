// An identity provider for the log-in scenarios: the npm package oidc-provider with its own log-in pages, where any
// password is good.
//
//   node provider.mjs MODULES SETTINGS
//
// MODULES is the folder that has node_modules. SETTINGS is a JSON file: issuer, port, client_id, client_secret,
// redirect_uris, accounts (what is claimed of whom), id_token_ttl and code_ttl in seconds. Accounts are read anew at each
// question, so a scenario can change its mind. Keys are made at each start.
import { createServer } from "node:http";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, file] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(join(modules, "node_modules/oidc-provider/lib/index.js")));
const settings = () => JSON.parse(readFileSync(file, "utf8"));
const now = settings();

function key(kind, options, alg) {
  const jwk = generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" });
  return { ...jwk, alg, use: "sig", kid: randomBytes(6).toString("hex") };
}

const provider = new Provider(now.issuer, {
  clients: [{
    client_id: now.client_id,
    client_secret: now.client_secret,
    redirect_uris: now.redirect_uris,
    id_token_signed_response_alg: now.alg ?? "RS256",
  }],
  jwks: { keys: [key("rsa", { modulusLength: 2048 }, "RS256"), key("ec", { namedCurve: "P-256" }, "ES256")] },
  cookies: { keys: [randomBytes(16).toString("hex")] },
  claims: {
    openid: ["sub"],
    email: ["email", "email_verified"],
    profile: ["name", "preferred_username", "picture", "groups"],
  },
  pkce: { methods: ["S256"], required: () => true },
  ttl: {
    AuthorizationCode: now.code_ttl ?? 60,
    IdToken: now.id_token_ttl ?? 3600,
    AccessToken: 3600, Grant: 3600, Interaction: 3600, Session: 3600,
  },
  async findAccount(ctx, sub) {
    const claims = settings().accounts[sub];
    return claims && { accountId: sub, async claims() { return { sub, ...claims }; } };
  },
});

createServer(provider.callback()).listen(now.port, "0.0.0.0", () => console.log("provider listens"));
