// Package hello has the smallest server and the smallest client, as the README
// shows them. To try them, make certificates and start one in each of two shells:
//
//	go run ./cmd/mkcerts issue localhost
//	go run ./cmd/mkcerts issue alice@bank.example
//	go run ./examples/hello/server
//	go run ./examples/hello/client
package hello
