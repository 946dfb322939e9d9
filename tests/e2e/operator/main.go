// What Tailscale's Kubernetes operator does over the API: it shows an OAuth client's secret for tokens, makes a tagged
// key for each proxy, finds the proxy's device and deletes it when the proxy goes.
//
//	operator URL CLIENT_ID CLIENT_SECRET key TAG      prints a key
//	operator URL CLIENT_ID CLIENT_SECRET tags HOST    prints a device's tags, one a line
//	operator URL CLIENT_ID CLIENT_SECRET delete HOST  deletes it
//	operator URL CLIENT_ID CLIENT_SECRET scopes SCOPE… asks for a token of these scopes, prints those it got
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"golang.org/x/oauth2/clientcredentials"
	tailscale "tailscale.com/client/tailscale/v2"
)

func die(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func device(ctx context.Context, c *tailscale.Client, host string) *tailscale.Device {
	all, err := c.Devices().List(ctx)
	if err != nil {
		die(err)
	}
	for i := range all {
		if all[i].Hostname == host {
			return &all[i]
		}
	}
	die(fmt.Errorf("no device %q among %d", host, len(all)))
	return nil
}

func main() {
	ctx := context.Background()
	base, err := url.Parse(os.Args[1])
	if err != nil {
		die(err)
	}
	credentials := clientcredentials.Config{ClientID: os.Args[2], ClientSecret: os.Args[3],
		TokenURL: os.Args[1] + "/api/v2/oauth/token"}
	// As the operator makes its client.
	c := &tailscale.Client{UserAgent: "tailscale-k8s-operator", BaseURL: base, HTTP: credentials.Client(ctx)}

	switch os.Args[4] {
	case "key":
		request := tailscale.CreateKeyRequest{}
		request.Capabilities.Devices.Create.Preauthorized = true
		request.Capabilities.Devices.Create.Tags = []string{os.Args[5]}
		key, err := c.Keys().CreateAuthKey(ctx, request)
		if err != nil {
			die(err)
		}
		fmt.Println(key.Key)
	case "tags":
		fmt.Println(strings.Join(device(ctx, c, os.Args[5]).Tags, "\n"))
	case "delete":
		if err := c.Devices().Delete(ctx, device(ctx, c, os.Args[5]).NodeID); err != nil {
			die(err)
		}
	case "scopes":
		credentials.Scopes = os.Args[5:]
		token, err := credentials.Token(ctx)
		if err != nil {
			die(err)
		}
		fmt.Println(token.Extra("scope"))
	}
}
