//go:build tools

// Package tools pins toxiproxy, the proxy that the tests put between Causerie and its database to disturb it (scripts/setup test).
package tools

import _ "github.com/Shopify/toxiproxy/v2/cmd/server"
