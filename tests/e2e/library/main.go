// Drives REST v2 through Tailscale's own Go library, as Terraform's provider and the operator do.
// The first thing that is not as it should be ends it; `ok` at the end if there is none.
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	tailscale "tailscale.com/client/tailscale/v2"
)

var ctx = context.Background()

func must(what string, err error) {
	if err != nil {
		fmt.Printf("%s: %v\n", what, err)
		os.Exit(1)
	}
}

func want[T comparable](what string, got, wanted T) {
	if got != wanted {
		fmt.Printf("%s: %v, not %v\n", what, got, wanted)
		os.Exit(1)
	}
}

func refused(what string, err error, words string) {
	if err == nil || !strings.Contains(err.Error(), words) {
		fmt.Printf("%s: %v, not refused with %q\n", what, err, words)
		os.Exit(1)
	}
}

func device(c *tailscale.Client, hostname string) *tailscale.Device {
	all, err := c.Devices().ListWithAllFields(ctx)
	must("list devices", err)
	for i := range all {
		if all[i].Hostname == hostname {
			return &all[i]
		}
	}
	fmt.Printf("no device %s among %d\n", hostname, len(all))
	os.Exit(1)
	return nil
}

func devices(c *tailscale.Client) {
	router := device(c, "router")
	want("advertised", strings.Join(router.AdvertisedRoutes, " "), "10.9.0.0/24")
	want("authorized", router.Authorized, true)
	for _, id := range []string{router.ID, router.NodeID} {
		one, err := c.Devices().Get(ctx, id)
		must("get a device", err)
		want("hostname", one.Hostname, "router")
	}
	must("set routes", c.Devices().SetSubnetRoutes(ctx, router.NodeID, []string{"10.9.0.0/24"}))
	routes, err := c.Devices().SubnetRoutes(ctx, router.NodeID)
	must("get routes", err)
	want("enabled", strings.Join(routes.Enabled, " "), "10.9.0.0/24")
	must("authorize", c.Devices().SetAuthorized(ctx, router.NodeID, true))
	must("no key expiry", c.Devices().SetKey(ctx, router.NodeID, tailscale.DeviceKey{KeyExpiryDisabled: true}))
	must("rename", c.Devices().SetName(ctx, router.NodeID, "gate"))
	want("name", strings.Split(device(c, "router").Name, ".")[0], "gate")
	must("address", c.Devices().SetIPv4Address(ctx, router.NodeID, "100.64.77.7"))
	want("address", device(c, "router").Addresses[0], "100.64.77.7")

	must("attribute", c.Devices().SetPostureAttribute(ctx, router.NodeID, "custom:tier",
		tailscale.DevicePostureAttributeRequest{Value: "prod", Comment: "by hand"}))
	end := tailscale.Time{Time: time.Now().Add(time.Hour)}
	must("attribute", c.Devices().SetPostureAttribute(ctx, router.NodeID, "custom:score",
		tailscale.DevicePostureAttributeRequest{Value: 7, Expiry: end}))
	attributes, err := c.Devices().GetPostureAttributes(ctx, router.NodeID)
	must("attributes", err)
	want("a text", attributes.Attributes["custom:tier"], any("prod"))
	want("a number", attributes.Attributes["custom:score"], any(float64(7)))
	want("expiries", len(attributes.Expiries), 1)
	must("no attribute", c.Devices().DeletePostureAttribute(ctx, router.NodeID, "custom:tier"))

	must("tags", c.Devices().SetTags(ctx, router.NodeID, []string{"tag:router"}))
	want("tags", strings.Join(device(c, "router").Tags, " "), "tag:router")
	some, err := c.Devices().List(ctx, tailscale.WithFilter("tags", []string{"tag:none", "tag:router"}),
		tailscale.WithFilter("isEphemeral", []string{"false"}), tailscale.WithFields("all"))
	must("list by tag", err)
	want("devices with the tag", len(some), 1)
	want("its routes", strings.Join(some[0].EnabledRoutes, " "), "10.9.0.0/24")
	some, err = c.Devices().List(ctx, tailscale.WithFilter("os", []string{"windows", "linux"}))
	must("list by operating system", err)
	want("devices with linux", len(some), 2)
	some, err = c.Devices().List(ctx, tailscale.WithFilter("isEphemeral", []string{"true"}))
	must("list what is ephemeral", err)
	want("ephemeral devices", len(some), 0)
	_, err = c.Devices().Get(ctx, "n0nobody")
	want("not found", tailscale.IsNotFound(err), true)
}

func users(c *tailscale.Client) {
	all, err := c.Users().List(ctx, nil, nil)
	must("list users", err)
	want("users", len(all), 1)
	one, err := c.Users().Get(ctx, all[0].ID)
	must("get a user", err)
	want("login", one.LoginName, "alice")
	kind, role := tailscale.UserTypeShared, tailscale.UserRoleOwner
	none, err := c.Users().List(ctx, &kind, &role)
	must("list users", err)
	want("shared owners", len(none), 0)
}

func policy(c *tailscale.Client) {
	raw, err := c.PolicyFile().Raw(ctx)
	must("the policy's text", err)
	text := "// by the library\n" + `{"tagOwners": {"tag:router": ["alice@"], "tag:k8s": []},
		"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]},], // all
	}`
	must("validate", c.PolicyFile().Validate(ctx, text))
	refused("validate", c.PolicyFile().Validate(ctx, `{"acls": [{"action": "drop"}]}`), "ACL validation failed")
	must("set", c.PolicyFile().Set(ctx, text, raw.ETag))
	refused("set from an old one", c.PolicyFile().Set(ctx, "{}", raw.ETag), "412")
	refused("set over a policy", c.PolicyFile().Set(ctx, "{}", "ts-default"), "412")
	raw, err = c.PolicyFile().Raw(ctx)
	must("the policy's text", err)
	want("the text", raw.HuJSON, text)
	acl, err := c.PolicyFile().Get(ctx)
	must("the policy", err)
	want("rules", len(acl.ACLs), 1)
	want("its hash", acl.ETag, raw.ETag)
	acl.TagOwners["tag:new"] = []string{"alice@"}
	after, err := c.PolicyFile().SetAndGet(ctx, *acl, acl.ETag)
	must("set and get", err)
	want("tag owners", len(after.TagOwners), 3)
}

func settings(c *tailscale.Client) {
	days := 30
	must("settings", c.TailnetSettings().Update(ctx, tailscale.UpdateTailnetSettingsRequest{
		DevicesKeyDurationDays: &days, ACLsExternalLink: tailscale.PointerTo("https://git.example/p")}))
	got, err := c.TailnetSettings().Get(ctx)
	must("settings", err)
	want("key duration", got.DevicesKeyDurationDays, 30)
	want("link", got.ACLsExternalLink, "https://git.example/p")
	for _, on := range []bool{true, false} {
		must("device approval", c.TailnetSettings().Update(ctx, tailscale.UpdateTailnetSettingsRequest{
			DevicesApprovalOn: &on}))
		got, err = c.TailnetSettings().Get(ctx)
		must("settings", err)
		want("device approval", got.DevicesApprovalOn, on)
	}
	refused("flow logs", c.TailnetSettings().Update(ctx, tailscale.UpdateTailnetSettingsRequest{
		NetworkFlowLoggingOn: tailscale.PointerTo(true)}), "no such thing")
	must("contact", c.Contacts().Update(ctx, tailscale.ContactSecurity,
		tailscale.UpdateContactRequest{Email: tailscale.PointerTo("sec@example.com")}))
	contacts, err := c.Contacts().Get(ctx)
	must("contacts", err)
	want("contact", contacts.Security.Email, "sec@example.com")
}

func names(c *tailscale.Client) {
	must("nameservers", c.DNS().SetNameservers(ctx, []string{"9.9.9.9"}))
	servers, err := c.DNS().Nameservers(ctx)
	must("nameservers", err)
	want("nameservers", strings.Join(servers, " "), "9.9.9.9")
	must("search paths", c.DNS().SetSearchPaths(ctx, []string{"corp.test"}))
	paths, err := c.DNS().SearchPaths(ctx)
	must("search paths", err)
	want("search paths", strings.Join(paths, " "), "corp.test")
	must("split", c.DNS().SetSplitDNS(ctx, tailscale.SplitDNSRequest{"corp.test": {"10.0.0.53"}}))
	split, err := c.DNS().SplitDNS(ctx)
	must("split", err)
	want("split", strings.Join(split["corp.test"], " "), "10.0.0.53")
	must("MagicDNS", c.DNS().SetPreferences(ctx, tailscale.DNSPreferences{MagicDNS: true}))
	preferences, err := c.DNS().Preferences(ctx)
	must("MagicDNS", err)
	want("MagicDNS", preferences.MagicDNS, true)
}

// keys returns a client that shows an OAuth client's tokens.
func keys(c *tailscale.Client) *tailscale.Client {
	request := tailscale.CreateKeyRequest{ExpirySeconds: 3600, Description: "by the library"}
	request.Capabilities.Devices.Create.Reusable = true
	request.Capabilities.Devices.Create.Preauthorized = true
	request.Capabilities.Devices.Create.Tags = []string{"tag:router"}
	made, err := c.Keys().CreateAuthKey(ctx, request)
	must("create an auth key", err)
	want("auth key", strings.HasPrefix(made.Key, "hskey-auth-"), true)
	again, err := c.Keys().Get(ctx, made.ID)
	must("get a key", err)
	want("description", again.Description, "by the library")
	want("hidden", again.Key, "")
	must("delete a key", c.Keys().Delete(ctx, made.ID))

	client, err := c.Keys().CreateOAuthClient(ctx, tailscale.CreateOAuthClientRequest{
		Scopes: []string{"devices:core", "auth_keys"}, Tags: []string{"tag:k8s"}, Description: "operator"})
	must("create an OAuth client", err)
	all, err := c.Keys().List(ctx, true)
	must("list keys", err)
	want("listed", slices.ContainsFunc(all, func(k tailscale.Key) bool { return k.ID == client.ID }), true)
	return &tailscale.Client{BaseURL: c.BaseURL, Auth: &tailscale.OAuth{ClientID: client.ID, ClientSecret: client.Key}}
}

// operator does what the Kubernetes operator does with its client.
func operator(c *tailscale.Client) {
	request := tailscale.CreateKeyRequest{}
	request.Capabilities.Devices.Create.Preauthorized = true
	request.Capabilities.Devices.Create.Tags = []string{"tag:k8s"}
	made, err := c.Keys().CreateAuthKey(ctx, request)
	must("a token's auth key", err)
	request.Capabilities.Devices.Create.Tags = []string{"tag:router"}
	_, err = c.Keys().CreateAuthKey(ctx, request)
	refused("a key with another's tag", err, "tag")
	must("delete it", c.Keys().Delete(ctx, made.ID))
	_, err = c.Users().List(ctx, nil, nil)
	refused("users", err, "token is missing the required scope users:read")
	refused("another's tag", c.Devices().SetTags(ctx, device(c, "router").ID, []string{"tag:new"}), "403")
}

func webhooks(c *tailscale.Client) {
	made, err := c.Webhooks().Create(ctx, tailscale.CreateWebhookRequest{EndpointURL: "https://hooks.example.com/x",
		Subscriptions: []tailscale.WebhookSubscriptionType{tailscale.WebhookNodeCreated}})
	must("create a webhook", err)
	want("its secret", made.Secret != nil && *made.Secret != "", true)
	_, err = c.Webhooks().Update(ctx, made.EndpointID, []tailscale.WebhookSubscriptionType{tailscale.WebhookNodeDeleted})
	must("update it", err)
	one, err := c.Webhooks().Get(ctx, made.EndpointID)
	must("get it", err)
	want("subscriptions", fmt.Sprint(one.Subscriptions), "[nodeDeleted]")
	_, err = c.Webhooks().RotateSecret(ctx, made.EndpointID)
	must("rotate its secret", err)
	must("delete it", c.Webhooks().Delete(ctx, made.EndpointID))
	all, err := c.Webhooks().List(ctx)
	must("list webhooks", err)
	want("webhooks", len(all), 0)
}

func main() {
	base, err := url.Parse(os.Args[1])
	must("the server's URL", err)
	c := &tailscale.Client{BaseURL: base, APIKey: os.Args[2]}

	policy(c)
	devices(c)
	users(c)
	settings(c)
	names(c)
	operator(keys(c))
	webhooks(c)
	_, err = c.DevicePosture().ListIntegrations(ctx)
	refused("posture integrations", err, "501")
	must("delete a device", c.Devices().Delete(ctx, device(c, "router").ID))
	fmt.Println("ok")
}
