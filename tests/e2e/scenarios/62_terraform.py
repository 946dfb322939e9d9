"""Tailscale's Terraform provider under OpenTofu: a plan is applied, found in place, changed and destroyed, on a server with
a connected client. Both programs are built by `scripts/clients terraform`, which ./test does not do; skipped without."""
from world import POLICY_IN_DATABASE, Failure, Host, built

PLAN = """
terraform {
  required_providers {
    tailscale = { source = "tailscale/tailscale" }
  }
}
provider "tailscale" {
  base_url = "URL"
  api_key  = "KEY"
}
resource "tailscale_acl" "policy" {
  acl = <<-EOT
    // by Terraform
    {"tagOwners": {"tag:router": ["alice@"], "tag:k8s": []},
     "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]},]}
  EOT
  overwrite_existing_content = true
}
data "tailscale_device" "router" {
  hostname = "router"
}
resource "tailscale_device_subnet_routes" "router" {
  device_id = data.tailscale_device.router.node_id
  routes    = ["10.9.0.0/24"]
}
resource "tailscale_device_authorization" "router" {
  device_id  = data.tailscale_device.router.node_id
  authorized = true
}
resource "tailscale_device_key" "router" {
  device_id           = data.tailscale_device.router.node_id
  key_expiry_disabled = true
}
resource "tailscale_device_tags" "router" {
  device_id  = data.tailscale_device.router.node_id
  tags       = ["tag:router"]
  depends_on = [tailscale_acl.policy]
}
resource "tailscale_tailnet_key" "key" {
  reusable      = true
  preauthorized = true
  expiry        = 3600
  description   = "by Terraform"
  tags          = ["tag:router"]
  depends_on    = [tailscale_acl.policy]
}
resource "tailscale_oauth_client" "operator" {
  description = "operator"
  scopes      = ["auth_keys", "devices:core"]
  tags        = ["tag:k8s"]
  depends_on  = [tailscale_acl.policy]
}
resource "tailscale_dns_nameservers" "servers" {
  nameservers = ["NAMESERVER"]
}
resource "tailscale_dns_search_paths" "paths" {
  search_paths = ["corp.test"]
}
resource "tailscale_webhook" "hook" {
  endpoint_url  = "https://hooks.example.com/x"
  subscriptions = ["nodeCreated"]
}
"""


def run(world):
    tofu, provider = built("terraform", "tofu"), built("terraform", "terraform-provider-tailscale")
    server = world.server(POLICY_IN_DATABASE)
    world.client("router", flags=("--advertise-routes=10.9.0.0/24",))
    key = server.cli("apikeys", "create").stdout.strip()
    laptop = Host(world, "laptop")
    room = server.dir / "terraform"
    room.mkdir()
    (room / "tofurc").write_text('provider_installation {\n  dev_overrides { "tailscale/tailscale" = "%s" }\n  direct {}\n}\n'
                                 % provider.parent)

    def plan(nameserver):
        (room / "main.tf").write_text(PLAN.replace("URL", server.url).replace("KEY", key).replace("NAMESERVER", nameserver))

    def run_tofu(*argv, want=0):
        done = laptop.run("env", f"TF_CLI_CONFIG_FILE={room / 'tofurc'}", f"HOME={room}", "CHECKPOINT_DISABLE=1", tofu,
                          f"-chdir={room}", *argv, check=False, timeout=120)
        if done.returncode != want:
            raise Failure(f"tofu {argv[0]}: exit {done.returncode}, not {want}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")

    def policy():
        return server.cli("policy", "get").stdout

    plan("9.9.9.9")
    run_tofu("apply", "-auto-approve", "-no-color", "-input=false")
    if "// by Terraform" not in policy():
        raise Failure(f"the policy is {policy()}")
    if server.node("router")["tags"] != ["tag:router"]:
        raise Failure(f"the router is {server.node('router')}")
    run_tofu("plan", "-detailed-exitcode", "-no-color", "-input=false")
    plan("8.8.8.8")
    run_tofu("plan", "-detailed-exitcode", "-no-color", "-input=false", want=2)
    run_tofu("apply", "-auto-approve", "-no-color", "-input=false")
    run_tofu("destroy", "-auto-approve", "-no-color", "-input=false")
    if server.json("oauth-clients", "list"):
        raise Failure("the OAuth client is still there")
