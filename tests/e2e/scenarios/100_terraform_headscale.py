"""headscale's Terraform provider under OpenTofu, over REST v1: people, keys, policy, tags and routes are applied on a server
with a connected client, found in place, changed and destroyed, and its data sources read.

OpenTofu is built by `scripts/clients terraform`. The provider is no Go module that a proxy has: the scenario is skipped unless
its program is in the cache, as terraform-headscale/VERSION/terraform-provider-headscale.
"""
import json

from world import POLICY_IN_DATABASE, Failure, Host, built

PLAN = """
terraform {
  required_providers {
    headscale = { source = "awlsring/headscale" }
  }
}
provider "headscale" {
  endpoint = "URL"
  api_key  = "KEY"
}
resource "headscale_user" "carol" {
  name         = "CAROL"
  display_name = "Carol Clark"
  email        = "carol@example.com"
}
resource "headscale_policy" "policy" {
  policy = <<-EOT
    // by Terraform
    {"tagOwners": {"tag:router": ["alice@"], "tag:server": ["alice@"]},
     "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]},]}
  EOT
}
resource "headscale_pre_auth_key" "one" {
  user           = headscale_user.carol.id
  reusable       = true
  ephemeral      = true
  time_to_expire = "2h"
}
resource "headscale_pre_auth_key" "tagged" {
  acl_tags   = ["tag:server", "tag:router"]
  depends_on = [headscale_policy.policy]
}
resource "headscale_api_key" "key" {
  time_to_expire = "1w"
}
data "headscale_device" "router" {
  name = "router"
}
resource "headscale_device_subnet_routes" "router" {
  device_id = data.headscale_device.router.id
  routes    = ["10.9.0.0/24"ROUTE]
}
resource "headscale_device_tags" "router" {
  device_id  = data.headscale_device.router.id
  tags       = ["tag:router"]
  depends_on = [headscale_policy.policy, headscale_pre_auth_key.one]
}
data "headscale_devices" "all" {
  depends_on = [headscale_device_tags.router]
}
data "headscale_users" "all" {
  depends_on = [headscale_user.carol]
}
data "headscale_user" "carol" {
  name       = headscale_user.carol.name
  depends_on = [headscale_user.carol]
}
data "headscale_policy" "now" {
  depends_on = [headscale_policy.policy]
}
data "headscale_pre_auth_keys" "carol" {
  user       = headscale_user.carol.id
  depends_on = [headscale_pre_auth_key.one]
}
data "headscale_api_keys" "all" {
  depends_on = [headscale_api_key.key]
}
data "headscale_device_subnet_routes" "router" {
  device_id  = data.headscale_device.router.id
  depends_on = [headscale_device_subnet_routes.router]
}
output "seen" {
  sensitive = true
  value = {
    devices = data.headscale_devices.all.devices
    users   = data.headscale_users.all.users
    carol   = data.headscale_user.carol
    policy  = data.headscale_policy.now.policy
    keys    = data.headscale_pre_auth_keys.carol.pre_auth_keys
    apikeys = data.headscale_api_keys.all.api_keys
    routes  = data.headscale_device_subnet_routes.router
    key     = headscale_pre_auth_key.one.key
    tagged  = headscale_pre_auth_key.tagged.key
    api_key = headscale_api_key.key.key
  }
}
"""


def run(world):
    tofu, provider = built("terraform", "tofu"), built("terraform-headscale", "terraform-provider-headscale")
    server = world.server(POLICY_IN_DATABASE)
    world.client("router", flags=("--advertise-routes=10.9.0.0/24,10.8.0.0/24",))
    key = server.cli("apikeys", "create").stdout.strip()
    laptop = Host(world, "laptop")
    room = server.dir / "terraform"
    room.mkdir()
    (room / "tofurc").write_text('provider_installation {\n  dev_overrides { "awlsring/headscale" = "%s" }\n  direct {}\n}\n'
                                 % provider.parent)

    def plan(user="carol", route=""):
        text = PLAN.replace("URL", server.url).replace('"KEY"', f'"{key}"').replace("CAROL", user).replace("ROUTE", route)
        (room / "main.tf").write_text(text)

    def run_tofu(*argv, want=0):
        done = laptop.run("env", f"TF_CLI_CONFIG_FILE={room / 'tofurc'}", f"HOME={room}", "CHECKPOINT_DISABLE=1", tofu,
                          f"-chdir={room}", *argv, check=False, timeout=120)
        if done.returncode != want:
            raise Failure(f"tofu {argv[0]}: exit {done.returncode}, not {want}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    def apply():
        run_tofu("apply", "-auto-approve", "-no-color", "-input=false")

    def nothing_to_do():
        run_tofu("plan", "-detailed-exitcode", "-no-color", "-input=false")

    plan()
    apply()
    nothing_to_do()
    if "// by Terraform" not in server.cli("policy", "get").stdout:
        raise Failure("the policy is another one")
    router = server.node("router")
    if router["tags"] != ["tag:router"] or router["approvedRoutes"] != ["10.9.0.0/24"]:
        raise Failure(f"the router is {router}")
    seen = json.loads(run_tofu("output", "-json", "seen"))
    if ("// by Terraform" not in seen["policy"] or seen["carol"]["email"] != "carol@example.com"
            or {user["name"] for user in seen["users"]} < {"alice", "carol"} or not seen["keys"] or len(seen["apikeys"]) != 2
            or [device["tags"] for device in seen["devices"]] != [["tag:router"]]):
        raise Failure(f"the data sources say {seen}")

    # What was made works: a machine of hers, one that is tagged, and the key for the API itself.
    world.client("hers", up=False).up(seen["key"])
    world.client("tagged", up=False).up(seen["tagged"])
    if server.node("hers")["user"]["name"] != "carol" or set(server.node("tagged")["tags"]) != {"tag:router", "tag:server"}:
        raise Failure(f"the nodes: {server.nodes()}")
    laptop.run("curl", "-sf", "-H", f"Authorization: Bearer {seen['api_key']}", f"{server.url}/api/v1/user")

    plan("caroline", ', "10.8.0.0/24"')
    run_tofu("plan", "-detailed-exitcode", "-no-color", "-input=false", want=2)
    apply()
    if server.node("hers")["user"]["name"] != "caroline" or len(server.node("router")["approvedRoutes"]) != 2:
        raise Failure(f"after the change: {server.nodes()}")
    server.cli("nodes", "delete", "--identifier", server.node("hers")["id"], "--force")
    run_tofu("destroy", "-auto-approve", "-no-color", "-input=false")
    if [user["name"] for user in server.json("users", "list")] != ["alice"]:
        raise Failure(f"left: {server.json('users', 'list')}")
